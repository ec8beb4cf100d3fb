"""Whether KVM works here: found out by starting a machine, once.

That /dev/kvm exists proves little: nested and paravirtual kernels offer it and then hang or
abort as soon as a guest leaves the mode that a BIOS runs in. So the machine tried here goes
the way of every guest: its boot sector (below) switches to 64-bit mode with paging, counts
for a moment, and ends QEMU with a status that nothing else gives. A machine that does not
end in time is killed with all that it started. The answer is kept in a file and holds until
the machine or QEMU is another.

Where this machine is a virtual one itself, even a try may freeze it, or one guest more than was
tried: there nothing is tried unless somebody says so. A try that this machine did not survive is
remembered (the file says that it began, and that was in another boot), and not made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import msgspec

from pileus.core.files import write_atomically

_QEMU = "qemu-system-x86_64"
_DEVICE = Path("/dev/kvm")
_SAID = 0x21
_STATUS = _SAID << 1 | 1
"""The exit status that isa-debug-exit makes of the byte that the guest writes."""
_COUNT = 100_000_000
_TIMEOUT_S = 15.0
_NO_DEVICE = f"{_DEVICE} is not there or may not be opened"
_PROCESSORS = Path("/proc/cpuinfo")
NESTED = (
    "this machine is itself a virtual one: nested virtualisation may freeze it, so KVM is not tried. "
    'If yours can do it: kvm = "try" below [hypervisor] in the settings'
)
FROZE = (
    "this machine went down while KVM was tried: it is not tried again. "
    'If that had another cause: kvm = "on" below [hypervisor] in the settings'
)

# In GNU as's words; _COUNT is the operand of the one movl into %ecx after `long:`.
#     .code16                            movw $0x0083, 0x3000    # 2 MiB, present, writable
#     cli                                movl $0xa0, %eax
#     xorw %ax, %ax                      movl %eax, %cr4         # PAE, PGE
#     movw %ax, %ds                      movl $0x1000, %eax
#     movw %ax, %es                      movl %eax, %cr3
#     movw %ax, %ss                      movl $0xc0000080, %ecx
#     movw $0x7c00, %sp                  rdmsr
#     movw $0x1000, %di                  orw $0x100, %ax         # EFER.LME
#     movw $0x1800, %cx                  wrmsr
#     cld                                movl %cr0, %eax
#     rep stosw       # three tables     orl $0x80000001, %eax   # PG, PE
#     movw $0x2003, 0x1000               movl %eax, %cr0
#     movw $0x3003, 0x2000               lgdtl gdtr; ljmpl $0x08, $long
#     .code64; long: movl $COUNT, %ecx; 1: decl %ecx; jnz 1b
#     movw $0xf4, %dx; movb $0x21, %al; outb %al, %dx; 2: hlt; jmp 2b
#     .balign 8; gdt: .quad 0; .quad 0x00209a0000000000; gdtr: .word 15; .long gdt
_BEFORE_COUNT = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cbf0010b90018fcf3abc70600100320c70600200330c7060030830066b8a0000000"
    "0f22e066b8001000000f22d866b9800000c00f320d00010f300f20c0660d010000800f22c0660f0116887c66ea"
    "607c00000800b9"
)
_AFTER_COUNT = bytes.fromhex("ffc975fc66baf400b021eef4ebfd0f1f440000000000000000000000000000009a20000f00787c")


class Verdict(msgspec.Struct, frozen=True):
    """Whether KVM works, and in words what was seen; ``machine`` says for which one it holds;
    ``remembered``: it was found out earlier."""

    works: bool
    reason: str
    seconds: float
    machine: str
    remembered: bool = False
    trying: bool = False
    """It was being found out when this was written."""


def boot_sector() -> bytes:
    """The disk of the machine that is tried: 512 bytes."""
    code = _BEFORE_COUNT + _COUNT.to_bytes(4, "little") + _AFTER_COUNT
    return code.ljust(510, b"\0") + b"\x55\xaa"


async def probe_kvm(
    memory: Path | None = None, *, nested: bool = False, timeout_s: float = _TIMEOUT_S
) -> Verdict:
    """Whether machines run under KVM here. With a file in ``memory`` the answer of this boot is kept.
    ``nested``: try it in a virtual machine, too."""
    machine = _machine()
    if not nested and (reason := _not_tried()):
        return _remember(memory, Verdict(False, reason, 0.0, machine))
    known = None if memory is None else _recall(memory)
    if known is not None and known.reason == NESTED:
        known = None
    if known is not None and known.machine == machine and not known.trying:
        return msgspec.structs.replace(known, remembered=True)
    if (
        known is not None
        and (known.trying or known.reason == FROZE)
        and _boot(known.machine) != _boot(machine)
    ):
        return _remember(memory, Verdict(False, FROZE, 0.0, machine))
    if memory is not None:
        _remember(memory, Verdict(False, "", 0.0, machine, trying=True))
        os.sync()  # it must be there if this machine goes down now
    began = time.monotonic()
    works, reason = await _try(timeout_s)
    return _remember(memory, Verdict(works, reason, round(time.monotonic() - began, 3), machine))


def recall_kvm(memory: Path) -> Verdict | None:
    """The newest answer in the file ``memory``; None where there is none that can be read."""
    known = _recall(memory)
    return None if known is None or known.trying else known


def _remember(memory: Path | None, verdict: Verdict) -> Verdict:
    if memory is not None:
        write_atomically(memory, msgspec.json.encode(verdict))
    return verdict


async def _try(timeout_s: float) -> tuple[bool, str]:
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return False, _NO_DEVICE
    if shutil.which(_QEMU) is None:
        return False, f"{_QEMU} is not installed"
    with tempfile.NamedTemporaryFile(prefix="pileus-kvm-") as disk:
        disk.write(boot_sector())
        disk.flush()
        return await start_machine(Path(disk.name), "kvm", "host", timeout_s)


async def start_machine(disk: Path, accelerator: str, cpu: str, timeout_s: float) -> tuple[bool, str]:
    """Start a machine on the boot sector; whether it got to its end, and what was seen."""
    child = await asyncio.create_subprocess_exec(
        *(_QEMU, "-accel", accelerator, "-cpu", cpu, "-machine", "pc", "-m", "16"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
        *("-drive", f"file={disk},format=raw,if=ide"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, stderr = await asyncio.wait_for(child.communicate(), timeout_s)
    except TimeoutError:
        return False, f"a machine that needs a moment had not ended after {timeout_s:g} s"
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    if child.returncode == _STATUS:
        return True, "a machine reached 64-bit mode and ended as it should"
    said = stderr.decode(errors="replace").strip().splitlines()
    return False, f"QEMU ended with {child.returncode}: {said[-1] if said else 'no word'}"[:500]


def _machine() -> str:
    """Identify what an answer depends on: this boot of this kernel, this QEMU."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    program = shutil.which(_QEMU)
    return f"{boot} {Path(program).stat().st_mtime_ns if program else 0} {int(_DEVICE.exists())}"


def _not_tried() -> str:
    """Why nothing is tried here; empty where it may be."""
    if not is_virtual(_PROCESSORS.read_text()):
        return ""
    return NESTED if _DEVICE.exists() else _NO_DEVICE


def is_virtual(processors: str) -> bool:
    """Whether /proc/cpuinfo is that of a virtual machine: CPUID says so in a bit that is for that alone."""
    return any(
        "hypervisor" in line.partition(":")[2].split()
        for line in processors.splitlines()
        if line.startswith("flags")
    )


def _boot(machine: str) -> str:
    return machine.partition(" ")[0]


def _recall(memory: Path) -> Verdict | None:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=Verdict)
    except (OSError, msgspec.DecodeError):
        return None
