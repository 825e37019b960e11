"""What holds for all tests of single modules."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# An example may take as long as the machine does: a busy one needs more than 200 ms now and then.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
