"""The months by their names, as they are written: ``may`` and ``march`` are verbs."""

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MONTH = "|".join(MONTHS)
"""A pattern for one of them, to stand in a group."""
ANY_MONTH = (
    f"{MONTH}|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember|"
    "janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"
)
"""The same with those of German and French."""
