"""Test shops and providers: see docs/testing.md.

Import the module you need; none imports the others' extras. `contract` holds the tests that every provider passes, and
`plugin` is its pytest plugin; `faults`, `leaks`, `server`, `cassettes`, `stories` and `recording` are its parts. Use
`fake` and `fake_gateway` in a platform's own tests, and `opening`, `sandbox`, `sandbox_app`, `sandbox_page` and
`courier` to write a provider and its sandbox. `cassettes`, `recording` and `contract` need the extra `[testing]`;
`server` and the parts of sandboxes need `[sandbox]`.
"""
