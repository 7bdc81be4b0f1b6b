from __future__ import annotations

from hypothesis import settings

# A busy machine is slow; that is no defect of what is tested.
settings.register_profile("nearline", deadline=None)
settings.load_profile("nearline")
