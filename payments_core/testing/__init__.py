"""What proves a provider, for this repository and for others: `faults`, `leaks`, `server`, `cassettes` and `stories`.

Import the module that is needed: each stands for itself, and only the last two need the extra `[testing]`; `server` needs
`[sandbox]`.
"""
