"""A scenario that a test can run to its end."""

from cellhive.adapters.scenarios import library_text


def small_scenario() -> str:
    """Return the text of a scenario of one site and one hour, in which nothing is wrong."""
    text = library_text("healthy")
    for old, new in (("name: healthy", "name: small"), ("sites: 19", "sites: 1"),
                     ("duration_h: 12", "duration_h: 1")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    return text
