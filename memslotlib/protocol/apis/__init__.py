"""Every way to change memslots that was proposed or exists, one file each."""
