"""Model families, one file each; `lvm_probe.models.registry` lists them."""
