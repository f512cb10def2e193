"""Runs a command in what a systemd unit allows, as far as that goes without systemd.

sandbox.py UNIT WRITABLE_FOLDER... -- COMMAND...      (root; in a mount namespace of its own: unshare --mount)

ProtectSystem=strict (everything but the folders is read-only, /tmp too), DynamicUser and CapabilityBoundingSet= (a user
id that nobody has, no capabilities), NoNewPrivileges, MemoryDenyWriteExecute, SystemCallFilter and RestrictAddressFamilies.
Where systemd answers EPERM this ends the process (SIGSYS): a call that is not allowed is not to be made at all.
"""
import ctypes
import os
import re
import struct
import subprocess
import sys

USER = 61184  # of the range that DynamicUser takes from
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 22, 24, 38, 65
SECCOMP_MODE_FILTER = 2
ALLOW, KILL = 0x7FFF0000, 0x80000000
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # of classic BPF
NUMBER_AT, ARCHITECTURE_AT, ARGUMENT_0_AT = 0, 4, 16  # in struct seccomp_data
X86_64 = 0xC000003E
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}


def settings(unit):
    found = {}
    with open(unit, encoding="utf-8") as f:
        for line in f:
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                found.setdefault(name, []).append(value)
    return found


def calls_of(group):
    """The names of a group, those of groups within included."""
    text = subprocess.check_output(["systemd-analyze", "syscall-filter", group], text=True)
    for word in re.findall(r"^ +([@\w-]+)$", text, re.M):
        if word.startswith("@"):
            yield from calls_of(word)
        else:
            yield word


def numbers():
    path = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
    with open(path, encoding="utf-8") as f:
        return {name: int(n) for name, n in re.findall(r"#define __NR_(\w+) (\d+)", f.read())}


def seccomp_program(unit):
    number = numbers()
    allowed = set()
    for words in unit["SystemCallFilter"]:
        without = words.startswith("~")
        for word in words.lstrip("~").split():
            names = set(calls_of(word)) if word.startswith("@") else {word}
            allowed = allowed - names if without else allowed | names
    out = [(LOAD, 0, 0, ARCHITECTURE_AT), (JUMP_EQUAL, 1, 0, X86_64), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER_AT)]
    families = [FAMILIES[name] for name in unit["RestrictAddressFamilies"][0].split()]
    out += [(JUMP_EQUAL, 0, 2 + 2 * len(families), number["socket"]), (LOAD, 0, 0, ARGUMENT_0_AT)]
    for family in families:
        out += [(JUMP_EQUAL, 0, 1, family), (RETURN, 0, 0, ALLOW)]
    out += [(RETURN, 0, 0, KILL)]
    for name in sorted(allowed & set(number)):
        if name != "socket":
            out += [(JUMP_EQUAL, 0, 1, number[name]), (RETURN, 0, 0, ALLOW)]
    return out + [(RETURN, 0, 0, KILL)]


def prctl(libc, *args):
    if libc.prctl(*[ctypes.c_ulong(a) if isinstance(a, int) else a for a in args], *[ctypes.c_ulong(0)] * (5 - len(args))):
        raise OSError(ctypes.get_errno(), f"prctl {args[0]}")


def main():
    end = sys.argv.index("--")
    unit, folders, command = settings(sys.argv[1]), sys.argv[2:end], sys.argv[end + 1:]
    program = seccomp_program(unit)
    for folder in folders:
        os.chown(folder, USER, USER)
        subprocess.check_call(["mount", "--bind", folder, folder])
    subprocess.check_call(["mount", "-o", "remount,bind,ro", "/"])
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(struct.pack("HBBI", *i) for i in program)
    text = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("HxxxxxxP", len(program), ctypes.addressof(text))
    os.chdir(folders[0])
    assert unit["CapabilityBoundingSet"] == [""] and unit["DynamicUser"] == ["yes"]
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # beyond the last one it fails
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    assert unit["NoNewPrivileges"] == ["yes"] and unit["MemoryDenyWriteExecute"] == ["yes"]
    prctl(libc, PR_SET_NO_NEW_PRIVS, 1)
    prctl(libc, PR_SET_MDWE, 1)
    prctl(libc, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(fprog, len(fprog)))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
