"""Makes what a guest boots from: a kernel that QEMU starts at once, and archives for its memory.

    image.py base ROOT CACHE      of unpacked packages: CACHE/vmlinux and CACHE/base.cpio
    image.py overlay OUT FILE=PATH[:MODE]...     of single files, on top of the base

The archives are cpio in its "newc" form, uncompressed: unpacking costs more than reading here.
"""

import glob
import lzma
import os
import re
import stat
import subprocess
import sys

# Modules that guests load, in this order, and before each what it depends on.
MODULES = [
    "af_packet", "virtio_pci", "virtio_net", "igb", "e1000e", "vmxnet3", "pktgen", "veth",
    "sch_ingress", "cls_bpf", "xdp_diag",
]

# Folders that no guest looks at.
LEFT_OUT = re.compile(
    r"usr/(share/(?!keyrings)|lib/modules|include)"
    r"|usr/lib/x86_64-linux-gnu/(gconv|perl|systemd|ossl-modules|engines)"
    r"|usr/lib/python3[^/]*/(test|idlelib|ensurepip|pydoc_data|lib2to3|unittest|sqlite3|turtle)"
    r"|boot|var|etc/(?!ld)"
)


class Archive:
    """A cpio archive, written from its first entry to its last."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.number = 0
        self.folders = set()

    def entry(self, name, mode, data=b"", device=(0, 0)):
        self.number += 1
        encoded = name.encode() + b"\0"
        fields = [self.number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0]
        self.file.write(b"070701" + b"".join(b"%08x" % field for field in fields) + encoded)
        self.pad()
        self.file.write(data)
        self.pad()

    def pad(self):
        self.file.write(b"\0" * (-self.file.tell() % 4))

    def folder(self, name):
        """A folder, and first those that it is in."""
        if name and name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self.entry(name, stat.S_IFDIR | 0o755)

    def write(self, name, data, mode=0o644):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def close(self):
        self.entry("TRAILER!!!", 0)
        self.file.write(b"\0" * (-self.file.tell() % 512))
        self.file.close()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def vmlinux(image):
    """The kernel proper, which a bzImage holds compressed with zstd; QEMU starts it without BIOS."""
    start = image.find(b"\x28\xb5\x2f\xfd")
    if start < 0:
        sys.exit("the kernel is not compressed with zstd: image.py must learn how it is")
    # Something follows the compressed kernel, so that zstd complains, but not before it is done.
    unpacked = subprocess.run(["zstd", "-dcq"], input=image[start:], capture_output=True).stdout
    if not unpacked.startswith(b"\x7fELF"):
        sys.exit("no kernel in the image")
    return unpacked


def unpacked(path):
    data = read(path)
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
    return data


def modules(folder):
    """(name, bytes) of each module that guests load, in an order in which they can be."""
    paths = {}
    for at, _, names in os.walk(folder):
        for name in names:
            if ".ko" in name:
                paths[name.split(".")[0].replace("-", "_")] = os.path.join(at, name)
    found = {}

    def add(name):
        if name in found or name not in paths:
            return
        data = unpacked(paths[name])
        needed = re.search(rb"\0depends=([^\0]*)\0", data)
        for other in filter(None, needed.group(1).decode().split(",") if needed else []):
            add(other.replace("-", "_"))
        found[name] = data

    for name in MODULES:
        add(name)
    return found.items()


def base(root, cache):
    (kernel,) = glob.glob(os.path.join(root, "usr/lib/modules/*/vmlinuz"))
    with open(os.path.join(cache, "vmlinux"), "wb") as file:
        file.write(vmlinux(read(kernel)))
    archive = Archive(os.path.join(cache, "base.cpio"))
    for at, folders, names in os.walk(root):
        inside = os.path.relpath(at, root)
        folders[:] = [name for name in folders if not left_out(inside, name)]
        for name in folders + names:
            path, within = os.path.join(at, name), os.path.normpath(os.path.join(inside, name))
            if os.path.islink(path):
                archive.link(within, os.readlink(path))
            elif os.path.isfile(path) and not left_out(inside, name):
                archive.write(within, read(path), 0o755 if os.access(path, os.X_OK) else 0o644)
    order = []
    for name, data in modules(os.path.join(root, "usr/lib/modules")):
        archive.write(f"lab/modules/{name}.ko", data)
        order.append(name)
    archive.write("lab/modules/order", "\n".join(order).encode() + b"\n")
    archive.entry("dev", stat.S_IFDIR | 0o755)
    archive.entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.close()


def left_out(inside, name):
    return LEFT_OUT.match(os.path.normpath(os.path.join(inside, name)) + "/") is not None


def overlay(out, files):
    archive = Archive(out)
    for file in files:
        name, path = file.split("=", 1)
        archive.write(name, read(path), 0o755 if os.access(path, os.X_OK) else 0o644)
    archive.close()


if __name__ == "__main__":
    if sys.argv[1] == "base":
        base(*sys.argv[2:])
    else:
        overlay(sys.argv[2], sys.argv[3:])
