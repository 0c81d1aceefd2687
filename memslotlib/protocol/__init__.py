"""The concurrency model of a memslot update: kernel steps, vCPU paths, other agents, properties.

:mod:`.slots` and :mod:`.world` say what there is, :mod:`.kernel`, :mod:`.mmu`, :mod:`.userspace`
and :mod:`.vcpu` what each does, step by step; :mod:`.apis` has a program for each interface,
:mod:`.scenes` what they are compared in, and :mod:`.properties` what they are held to.
"""
