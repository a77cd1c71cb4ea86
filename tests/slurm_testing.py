"""A real Slurm of several virtual nodes inside this machine, for one test: each slurmd has a mount and a UTS namespace of
its own, with a /dev/shm of its own, so that ranks on two nodes share neither memory nor a host name. Needs root, munge and
Slurm's daemons; no systemd, cgroups or database."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from rondo_testing import PATIENCE

NEEDS = ["slurmctld", "slurmd", "munged", "sbatch", "srun", "unshare"]
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def missing():
    """Why there can be no cluster here, or ""."""
    absent = [name for name in NEEDS if shutil.which(name, path=PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (apt-get install slurmctld slurmd slurm-client munge " \
               "slurm-wlm-basic-plugins)"
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "--uts", "true"], stderr=subprocess.DEVNULL).returncode:
        return "only root can make virtual nodes, where the kernel allows them"
    return ""


class Cluster:
    def __init__(self, folder, nodes):
        self.folder, self.nodes = Path(folder), [f"n{i + 1}" for i in range(nodes)]
        for name in ("munge", "state", "log", "run"):
            (self.folder / name).mkdir(parents=True)
        for node in self.nodes:
            (self.folder / f"tmp-{node}").mkdir()
        self.folder.chmod(0o755)
        (self.folder / "munge").chmod(0o711)
        self.port = 10000 + os.getpid() % 1000 * 20  # below those that systems give to whoever asks for any
        self.env = os.environ | {"PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self.write_config()
        self.start_munge()
        self.call("slurmctld", "-f", self.env["SLURM_CONF"])
        for node in self.nodes:
            self.start_node(node)

    def write_config(self):
        f, own = self.folder, os.uname().nodename.split(".")[0]
        lines = {
            "ClusterName": "test", "SlurmctldHost": f"{own}(127.0.0.1)", "SlurmctldPort": self.port, "SlurmUser": "root",
            "SlurmdUser": "root", "AuthType": "auth/munge", "AuthInfo": f"socket={f}/munge/socket",
            "CredType": "cred/munge", "MpiDefault": "none", "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none", "SwitchType": "switch/none", "ReturnToService": 2, "JobRequeue": 1,
            "StateSaveLocation": f"{f}/state", "SlurmdSpoolDir": f"{f}/spool-%n", "TmpFS": f"{f}/tmp-%n",
            "SlurmctldPidFile": f"{f}/run/slurmctld.pid", "SlurmdPidFile": f"{f}/run/slurmd-%n.pid",
            "SlurmctldLogFile": f"{f}/log/slurmctld.log", "SlurmdLogFile": f"{f}/log/slurmd-%n.log",
            "SlurmdParameters": "config_overrides", "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "SchedulerParameters": "sched_interval=1,batch_sched_delay=0,bf_interval=2",
            "SlurmctldParameters": "preempt_send_user_signal", "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE", "KillWait": 5, "SlurmdTimeout": 10, "SlurmctldTimeout": 10, "MessageTimeout": 10,
            "MinJobAge": 300, "InactiveLimit": 0, "AccountingStorageType": "accounting_storage/none",
            "JobAcctGatherType": "jobacct_gather/none"}
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        for i, node in enumerate(self.nodes):
            text += (f"NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 Port={self.port + 1 + i} CPUs=2 Boards=1 "
                     "SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=2000 State=UNKNOWN\n")
        every = f"Nodes={','.join(self.nodes)} MaxTime=INFINITE State=UP"
        text += f"PartitionName=main {every} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20\n"
        text += f"PartitionName=high {every} PriorityTier=10 PreemptMode=OFF\n"
        (f / "slurm.conf").write_text(text)
        (f / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")

    def start_munge(self):
        m = self.folder / "munge"
        (m / "key").write_bytes(os.urandom(1024))
        (m / "key").chmod(0o400)
        self.call("munged", "--force", *(f"--{name}-file={m}/{name}" for name in ("key", "pid", "log", "seed")),
                  f"--socket={m}/socket", "--num-threads=2")

    def start_node(self, node):
        self.call("unshare", "--mount", "--uts", "sh", "-ec",
                  'hostname "$1"; mount -t tmpfs shm /dev/shm; exec slurmd -f "$2" -N "$1"', "sh", node,
                  self.env["SLURM_CONF"])

    def call(self, *command, timeout=30):
        done = subprocess.run([str(c) for c in command], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stdout}")
        return done.stdout

    def wait(self, condition, what, deadline):
        deadline *= PATIENCE
        end = time.monotonic() + deadline
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {deadline:.0f} s for {what}\n{self.call('squeue')}{self.call('sinfo', '-N')}")
            time.sleep(0.1)

    def up(self):
        idle = self.call("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N")
        return len(idle.split()) == len(self.nodes)

    def job(self, number):
        """Fields of a job as scontrol shows them."""
        return dict(word.split("=", 1) for word in self.call("scontrol", "show", "job", number).split() if "=" in word)

    def kill_node(self, node):
        """As a loss of power: all that lives in the node's UTS namespace."""
        def namespace(pid):
            try:
                return os.readlink(f"/proc/{pid}/ns/uts")
            except OSError:
                return None
        its = namespace(self.pid(f"run/slurmd-{node}.pid"))
        assert its not in (None, namespace("self"))
        for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
            if namespace(pid) == its:
                os.kill(pid, signal.SIGKILL)

    def pid(self, name):
        return int((self.folder / name).read_text())

    def stop(self):
        for name in [f"run/slurmd-{node}.pid" for node in self.nodes]:
            try:
                self.kill_node(name[len("run/slurmd-"):-len(".pid")])
            except (OSError, AssertionError, ValueError):
                pass
        for name in ("run/slurmctld.pid", "munge/pid"):
            try:
                os.kill(self.pid(name), signal.SIGKILL)
            except (OSError, ValueError):
                pass
