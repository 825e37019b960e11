"""Several Docker hosts on one machine, out of Linux namespaces: see `lan.Lan`. Needs root.

    lan: a bridge in a network namespace of its own, never connected to the machine's network
    host: dockerd in namespaces of its own, on that bridge; can be cut off, frozen, killed
    capture, flipper: what somebody on the wire could read, and change
    swarm: the stack on a swarm of hosts
    images, checkout: what a user brings to a host, and the commands of the documents
    namespaces, cgroups, bridge: how that is done

The hosts share the kernel, its clock and page cache (so a killed host loses no write), and the
file tree but for Docker's folders and /run: `Host.home` is a folder that is one host's alone.
"""
