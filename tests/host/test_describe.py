import json

from memslotlib.host import describe

CPUINFO = """\
processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: A processor
microcode\t: 0x42
flags\t\t: fpu hypervisor lm

processor\t: 1
model name\t: Another
"""


def tree(root, module):
    parameters = root / "sys/module" / module / "parameters"
    parameters.mkdir(parents=True)
    (parameters / "knob").write_text("Y\n")
    (root / "sys/module/kvm/parameters").mkdir(parents=True)
    (root / "sys/module/kvm/parameters/tdp_mmu").write_text("N\n")
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(CPUINFO)
    return root


def test_the_module_its_parameters_and_the_first_cpu_are_read(tmp_path):
    host = describe(tree(tmp_path, "kvm_amd"))

    assert host.module == "kvm_amd"
    assert not host.out_of_tree
    assert host.parameters == {"kvm.tdp_mmu": "N", "kvm_amd.knob": "Y"}
    assert (host.cpu, host.vendor, host.microcode) == ("A processor", "AuthenticAMD", "0x42")
    assert host.nested
    assert host.cpus >= 1


def test_a_module_that_linux_does_not_contain_is_labelled(tmp_path):
    host = describe(tree(tmp_path, "kvm_pvm"))

    assert host.out_of_tree
    assert "kvm_pvm (out-of-tree), A processor" in host.label


def test_every_loaded_module_is_named_and_one_from_elsewhere_is_enough(tmp_path):
    root = tree(tmp_path, "kvm_intel")
    (root / "sys/module/kvm_pvm/parameters").mkdir(parents=True)
    (root / "sys/module/kvm_pvm/parameters/switch").write_text("1\n")

    host = describe(root)

    assert host.module == "kvm_intel, kvm_pvm"
    assert host.out_of_tree
    assert host.parameters == {
        "kvm.tdp_mmu": "N",
        "kvm_intel.knob": "Y",
        "kvm_pvm.switch": "1",
    }


def test_what_cannot_be_read_stays_empty(tmp_path):
    host = describe(tmp_path)

    assert (host.module, host.cpu, host.microcode) == ("", "", "")
    assert not host.out_of_tree
    assert host.parameters == {}
    assert host.label.endswith("no KVM module, unknown CPU")


def test_a_description_goes_into_a_record_as_it_is():
    host = describe()

    assert json.loads(json.dumps(host.as_dict())) == host.as_dict()
