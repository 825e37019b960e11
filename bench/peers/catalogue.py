"""The rows: each peer's program, its servers and workers as command lines, what makes it durable.

In a command `{port}`, `{folder}` and `{url}` are the station's own, and `{short}` a folder with a
short name, for sockets. Its first word says what starts it: `python` is the peer's own Python with
-m, another one a program of this machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

REDIS = (
    "redis-server --bind 127.0.0.1 --port {port} --dir {folder} --daemonize no --loglevel warning"
)
ALWAYS = f"{REDIS} --appendonly yes --appendfsync always"
REDIS_URL = "redis://127.0.0.1:{port}/0"
POSTGRES = "postgres -D {folder}/pg -p {port} -h 127.0.0.1 -k {folder}"
POSTGRES_URL = "postgresql://postgres@127.0.0.1:{port}/postgres"
TCP_URL = "tcp://127.0.0.1:{port}"

SNAPSHOTS = "no: Redis, snapshots"
FSYNC = "yes: Redis, fsync"
COMMITS = "yes: PostgreSQL, fsync"
MEMORY = "no: memory"


@dataclass(frozen=True)
class Peer:
    """One row.

    lock: of the environment, in locks/; "" is our own. package: the one whose version is shown.
    broker: the command of what keeps the tasks, "" where a file or the submitting program does.
    worker: the command of one worker, "" where the broker or that program starts both.
    setup: a command that runs once, when the broker is up. second: why there is no broker to kill.
    everywhere: it listens on all addresses and cannot be told not to.
    """

    name: str
    module: str
    lock: str
    package: str
    durable: str
    broker: str = ""
    url: str = ""
    worker: str = ""
    setup: str = ""
    second: str = ""
    everywhere: bool = False
    least_python: tuple[int, int] = (3, 11)
    brief: bool = False
    shell_only: bool = False

    @property
    def key(self) -> str:
        """What NAMES calls it, with all of its rows: the module's last name."""
        return self.module.rpartition(".")[2]


def _redis(name: str, key: str, worker: str, *, brief: bool = False) -> list[Peer]:
    """Two rows: Redis at its defaults, and with every write on disk before its answer."""
    module = f"bench.peers.brokered.{key}"
    words = worker.format(module=module)
    peer = Peer(name, module, key, key, SNAPSHOTS, REDIS, REDIS_URL, words, brief=brief)
    always = replace(peer, name=f"{name}, appendfsync always", durable=FSYNC, broker=ALWAYS)
    return [peer, replace(always, brief=False)]


def _postgres(
    name: str,
    key: str,
    package: str,
    worker: str,
    *,
    setup: str,
    least_python: tuple[int, int] = (3, 11),
) -> Peer:
    module = f"bench.peers.brokered.{key}"
    return Peer(
        name,
        module,
        key,
        package,
        COMMITS,
        POSTGRES,
        POSTGRES_URL,
        worker.format(module=module),
        setup.format(module=module),
        least_python=least_python,
    )


PEERS: list[Peer] = [
    Peer(
        "Quartermaster",
        "bench.peers.alone.ours",
        "",
        "quartermaster-queue",
        "yes: SQLite, fsync",
        broker="python master serve",
        url=TCP_URL,
        worker="python worker",
        brief=True,
    ),
    Peer(
        "Quartermaster, its executor",
        "bench.peers.alone.executor",
        "",
        "quartermaster-queue",
        "yes: SQLite, fsync",
        broker="python master serve",
        url=TCP_URL,
        worker="python worker",
        brief=True,
    ),
    Peer(
        "tutorial",
        "bench.peers.alone.tutorial",
        "",
        "",
        MEMORY,
        broker="python bench.peers.alone.tutorial serve {port}",
        url=TCP_URL,
        worker="python bench.peers.alone.tutorial work {port}",
        brief=True,
    ),
    Peer(
        "multiprocessing.Pool",
        "bench.peers.alone.pool",
        "",
        "",
        MEMORY,
        second="the program itself",
        brief=True,
    ),
    *_redis(
        "Huey",
        "huey",
        "python huey.bin.huey_consumer {module}.queue -q -w 1 -k process",
        brief=True,
    ),
    *_redis("Dramatiq", "dramatiq", "python dramatiq {module} -p 1 -t 1"),
    *_redis("Celery", "celery", "python celery -A {module} worker -P prefork -c 1 -l error"),
    *_redis("RQ", "rq", "python rq.cli worker -q -u {{url}}"),
    *_redis("SAQ", "saq", "python saq {module}.settings -q"),
    *_redis("streaQ", "streaq", "python streaq run {module}:worker"),
    Peer(
        "Dask",
        "bench.peers.alone.dask",
        "dask",
        "distributed",
        MEMORY,
        broker="python dask scheduler --host 127.0.0.1 --port {port} --no-show"
        " --dashboard-address 127.0.0.1:0",
        url=TCP_URL,
        worker="python dask worker {url} --host 127.0.0.1 --nworkers 1 --nthreads 1"
        " --dashboard-address 127.0.0.1:0 --local-directory {folder}",
    ),
    Peer(
        "Ray",
        "bench.peers.alone.ray",
        "ray",
        "ray",
        MEMORY,
        broker="python ray.scripts.scripts start --head --block --node-ip-address=127.0.0.1"
        " --port={port} --num-cpus=2 --include-dashboard=false --disable-usage-stats"
        " --object-store-memory=200000000 --temp-dir={short}",
        url=TCP_URL,
        everywhere=True,
    ),
    Peer(
        "FlexiQ",
        "bench.peers.alone.flexiq",
        "flexiq",
        "flexiq",
        "yes: SQLite",
        worker="python flexiq.cli worker --app bench.peers.alone.flexiq:queue",
        second="no broker",
    ),
    Peer(
        "HyperQueue, its Python API",
        "bench.peers.alone.hyperqueue",
        "hyperqueue",
        "hyperqueue",
        MEMORY,
        second="the program itself",
        everywhere=True,
    ),
    Peer(
        "HyperQueue, a shell a task",
        "bench.peers.alone.hyperqueue_commands",
        "hyperqueue",
        "hyperqueue",
        MEMORY,
        second="the program itself",
        everywhere=True,
        shell_only=True,
    ),
    _postgres(
        "Procrastinate",
        "procrastinate",
        "procrastinate",
        "python procrastinate -a {module}.app worker -c {{at_once}}",
        setup="python procrastinate -a {module}.app schema --apply",
    ),
    _postgres(
        "Oban for Python",
        "oban",
        "oban",
        "python oban start --dsn {{url}} --queues default:{{at_once}} --log-level error",
        setup="python oban install --dsn {{url}}",
        least_python=(3, 12),
    ),
    _postgres(
        "awa",
        "awa",
        "awa-pg",
        "python {module}",
        setup="python {module} setup",
    ),
    _postgres(
        "PgQueuer",
        "pgqueuer",
        "pgqueuer",
        "python {module}",
        setup="python pgqueuer --pg-dsn {{url}} install",
    ),
    Peer(
        "xargs -P2, a shell a task",
        "bench.peers.alone.xargs",
        "",
        "",
        "no",
        second="no broker",
        brief=True,
        shell_only=True,
    ),
]
"""In the order of the table."""


def named(names: list[str]) -> list[Peer]:
    """The rows of these names, all without one. Raises KeyError with a name that none has."""
    known = {peer.key for peer in PEERS}
    for name in names:
        if name not in known:
            raise KeyError(name)
    return [peer for peer in PEERS if not names or peer.key in names]
