"""The testing kit, for this repository and for others: docs/testing.md.

Import the module that is needed: each stands for itself. `contract` is what every provider passes and `plugin` its pytest
plugin; `faults`, `leaks`, `server`, `cassettes`, `stories` and `recording` are its parts; `fake` and `fake_gateway` are for
platforms' own tests; `opening`, `sandbox`, `sandbox_app`, `sandbox_page` and `courier` are for those who write a provider.
`cassettes`, `recording` and `contract` need the extra `[testing]`; `server` and the parts of sandboxes need `[sandbox]`.
"""
