"""An OCI bundle for the guest's cases: bundle.py FOLDER [OPTION...] -- PROGRAM [ARGUMENT...]

A container without a device node, a privilege or (unless one is named) a capability, with this machine's /usr, the hook at
createRuntime and poststop, and a cgroup of its own."""
import argparse
import json
import os
import pathlib

HOOK = "/usr/libexec/iommud/iommud-oci-hook"
parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--user-namespace", type=int, default=None, metavar="FIRST", help="65536 uids of the host from FIRST on")
parser.add_argument("--rootless", type=int, default=None, metavar="UID", help="what that user may make by itself")
parser.add_argument("--uid", type=int, default=0, help="in the container")
parser.add_argument("--capability", action="append", default=[])
parser.add_argument("--annotation", action="append", default=[])
parser.add_argument("--env", action="append", default=[])
parser.add_argument("--mount", action="append", default=[], metavar="FROM:TO[:OPTION,...]",
                    help="options beside rbind")
parser.add_argument("--propagation", default=None, help="the root's: shared, slave, private")
parser.add_argument("--hook", default=HOOK)
parser.add_argument("--no-hook", action="store_true")
parser.add_argument("--cdi", action="store_true", help="as when the engine has the hook from CDI")
parser.add_argument("--host-pids", action="store_true")
parser.add_argument("program", nargs="+")
options = parser.parse_args()
name = options.folder.name
root = options.folder / "rootfs"
targets = [mount.split(":")[1] for mount in options.mount]
for folder in ("usr", "proc", "dev", "tmp", "etc", "run", os.environ["IOMMUD_TREE"], *targets):
    target = root / folder.lstrip("/")
    if not any(part.is_symlink() for part in (target, *target.parents)):
        target.mkdir(parents=True, exist_ok=True)
for link in ("bin", "sbin", "lib", "lib64"):
    if not (root / link).is_symlink():
        (root / link).symlink_to("usr/" + link)

mounts = [{"destination": "/proc", "type": "proc", "source": "proc"},
          {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
          {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]},
          {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
          {"destination": os.environ["IOMMUD_TREE"], "type": "bind", "source": os.environ["IOMMUD_TREE"],
           "options": ["rbind", "ro"]}]
for mount in options.mount:
    source, destination, *more = mount.split(":")
    if not os.path.isdir(source) and (root / destination.lstrip("/")).is_dir():
        (root / destination.lstrip("/")).rmdir()
        (root / destination.lstrip("/")).touch()
    mounts.append({"destination": destination, "type": "bind", "source": source,
                   "options": ["rbind"] + [option for word in more for option in word.split(",")]})
namespaces = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]
if not options.host_pids:
    namespaces.append({"type": "pid"})
linux = {"namespaces": namespaces, "cgroupsPath": "/containers/" + name}
if options.user_namespace is not None:
    namespaces.append({"type": "user"})
    linux["uidMappings"] = [{"containerID": 0, "hostID": options.user_namespace, "size": 65536}]
    linux["gidMappings"] = linux["uidMappings"]
if options.rootless is not None:
    namespaces.append({"type": "user"})
    linux["uidMappings"] = [{"containerID": 0, "hostID": options.rootless, "size": 1}]
    linux["gidMappings"] = linux["uidMappings"]
    del linux["cgroupsPath"]
if options.propagation is not None:
    linux["rootfsPropagation"] = options.propagation
arguments = ["iommud-oci-hook"] + (["--cdi"] if options.cdi else [])
hooks = [{"path": options.hook, "args": arguments, "timeout": 10}]
config = {
    "ociVersion": "1.0.2",
    "process": {"terminal": False, "user": {"uid": options.uid, "gid": options.uid}, "cwd": "/", "noNewPrivileges": True,
                "env": ["PATH=/usr/libexec/iommud-tests:/usr/sbin:/usr/bin", "PYTHONDONTWRITEBYTECODE=1",
                        "PYTHONPATH=" + os.environ["IOMMUD_TREE"] + "/tests/vm/cases"] + options.env,
                "args": options.program,
                "capabilities": {kind: options.capability
                                 for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}},
    "root": {"path": "rootfs", "readonly": True},
    "hostname": name,
    "mounts": mounts,
    "annotations": dict(annotation.split("=", 1) for annotation in options.annotation),
    "linux": linux,
}
if not options.no_hook:
    config["hooks"] = {"createRuntime": hooks, "poststop": hooks}
(options.folder / "config.json").write_text(json.dumps(config, indent=1))
