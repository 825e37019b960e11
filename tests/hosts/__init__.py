"""Tests on several Docker hosts, which Linux namespaces make on one machine (`lan.Lan`); need root.

    lan: a bridge in a network namespace of its own, never connected to the machine's network
    host: dockerd in namespaces of its own, on that bridge; a test cuts it off, freezes or kills it
    capture, flipper: read and change what is on the wire
    site, swarm: a user at a host, and the stack on a swarm of hosts
    images, checkout: what a user brings to a host, and the commands of the documents
    namespaces, cgroups, bridge: how the hosts are made

The hosts share the kernel with its clock and page cache, so a killed host loses no write. They also
share the file tree except for Docker's folders and /run; `Host.home` belongs to one host alone.

"""
