"""Manuals of the commands that keep and edit class banks."""

from typing import Final

from zeroscene.cli.common import manual

BANK: Final = manual(
    """
Write a class bank: classes that are edited one by one, in a file of their own.

Its classes come from a class table (.csv, .safetensors), from names through a
text encoder (--encoder), or from the knowledge base. `fit` and `label` keep
such a bank with each model; a bank of its own serves several models of the
same kind, and is a class table wherever one is asked for. Beside it,
NAME.bank.history keeps every version there ever was.
""",
    [
        "zeroscene classes bank classes.csv -o classes.bank",
        "zeroscene classes bank lake harbor river --encoder tiny -o words.bank",
        "zeroscene classes bank --dataset ucmerced -o ucmerced.bank",
    ],
)

ADD: Final = manual(
    """
Add classes to a model or a bank. Nothing is trained, and no score of another
class changes (with methods that fit a classifier of all asked classes, mcfa
and cada-vae, the next `predict` fits it anew).

A class is said by what it looks like (--describe, repeated for several
texts), by attributes (--attributes; those not named are 0), by its row in a
table (--table, a spreadsheet saved as CSV will do), or by its name alone,
where the knowledge base or a text encoder makes something of it. A bank says
what it can take. With --encoder and a bank that is not there yet, it is made.
""",
    [
        'zeroscene classes add "solar farm" --describe "rows of dark panels in a field" --to model',
        'zeroscene classes add "solar farm" --attributes solar_modules=1,bare_soil=0.4 --to model',
        "zeroscene classes add --table new-classes.csv --to model",
        "zeroscene classes add lake river --encoder tiny --to words.bank",
    ],
)

DESCRIBE: Final = manual(
    """
Say anew what a class looks like: in words, which replace the ones before, or
by attributes, of which those that are not named keep their values.
""",
    [
        'zeroscene classes describe "solar farm" "rows of dark panels" "a field of glass" --in model',
        "zeroscene classes describe harbor --attributes cranes=0.8 --in model",
    ],
)

RENAME: Final = manual(
    "Give a class another name; its vector and its place in the list stay.",
    ['zeroscene classes rename "solar farm" "photovoltaic plant" --in model'],
)

REMOVE: Final = manual(
    """
Remove classes. A class that was added and is removed again leaves the file as
it was, byte for byte; `restore` brings any version back.
""",
    ['zeroscene classes remove "solar farm" --from model', "zeroscene classes remove @names.txt --from words.bank"],
)

LIST: Final = manual(
    "List the classes of a model or a bank, with what each of them is made of.",
    ["zeroscene classes list model", "zeroscene classes list words.bank --json"],
)

HISTORY: Final = manual(
    "List all versions of a bank, oldest first: what was done, and when.",
    ["zeroscene classes history model"],
)

RESTORE: Final = manual(
    """
Bring a version of a bank back, named as `history` lists it or by the
beginning of that. It becomes one more version; nothing is lost. A bank that
is damaged or was changed by hand is kept as NAME.bank.damaged.
""",
    ["zeroscene classes restore 1f2e3d --in model"],
)
