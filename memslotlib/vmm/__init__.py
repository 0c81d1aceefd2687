"""Traces of memslot updates that real VMMs made on a real ``/dev/kvm``."""
