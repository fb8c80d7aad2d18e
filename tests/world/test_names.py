import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.world.almanac import Almanac
from webdancer_cli.world.atlas import Atlas
from webdancer_cli.world.lexicon import roots
from webdancer_cli.world.plain_world import Names
from webdancer_cli.world.syllables import CODAS, ONSETS, POOLS, Pool, pool_of, pool_words

GROUPS = ("surname", "woman", "man", "city", "region", "river", "brand")
TITLES = ("work", "festival", "expedition")
each_pool = pytest.mark.parametrize("pool", POOLS)


def test_the_syllables_are_distinct_and_pronounceable() -> None:
    assert len(set(ONSETS)) == len(ONSETS) >= 96
    assert len(set(CODAS)) == len(CODAS) >= 96
    assert all(re.fullmatch(r"[BDFGHJKLMNPRSTVWYZ][aeiou][bdfgklmnrvz]", onset) for onset in ONSETS)
    assert all(re.fullmatch(r"[bdfghjklmnprstvwz][aeiou][bdfgklmnprstvz][aeiou]?", coda) for coda in CODAS)


def test_every_word_belongs_to_one_pool_by_its_hash() -> None:
    train, evaluation = set(pool_words("train")), set(pool_words("eval"))
    assert not train & evaluation
    assert len(train) > 4000 and len(evaluation) > 4000
    assert train | evaluation <= {onset + coda for onset, coda in product(ONSETS, CODAS)}
    assert {pool_of(word) for word in train} == {"train"}
    # The pools are for ever: a trained model has seen one of them. `printf Velmora | b2sum -l 8` is 0x__: odd is eval.
    assert [pool_of(word) for word in ("Velmora", "Dordik", "Kalluna", "Zunzola")] == ["eval", "train", "eval", "train"]


@given(st.integers(0, 10**9), st.sampled_from(POOLS))
def test_single_words_serve_small_worlds_and_are_distinct(seed: int, pool: Pool) -> None:
    name = Names(300, seed, pool)
    names = [name(index) for index in range(300)]
    assert len(set(names)) == 300
    assert set(names) <= set(pool_words(pool))


@each_pool
def test_large_worlds_have_pairs_of_words_of_the_same_pool(pool: Pool) -> None:
    name = Names(1_000_000, 7, pool)
    names = [name(index) for index in range(0, 1_000_000, 97)]
    assert len(set(names)) == len(names)
    parts = [word for pair in names for word in pair.split(" ")]
    assert len(parts) == 2 * len(names)
    assert set(parts) <= set(pool_words(pool))
    assert all(len(set(pair.split(" "))) == 2 for pair in names)


@pytest.mark.parametrize("group", [*GROUPS, *TITLES])
def test_the_roots_of_rich_names_are_in_one_pool_only(group: str) -> None:
    joint = " " if group in TITLES else ""
    train, evaluation = roots(group, "train", joint), roots(group, "eval", joint)
    assert len(set(train)) == len(train) and len(set(evaluation)) == len(evaluation)
    assert not set(train) & set(evaluation)
    assert min(len(train), len(evaluation)) > 150


def test_no_rich_name_of_one_pool_comes_back_in_the_other() -> None:
    def names(pool: Pool) -> set[str]:
        world = Almanac(Atlas(4000, 5, pool))
        return {world.entity(index).name for index in range(4000)}

    train, evaluation = names("train"), names("eval")
    assert len(train) == len(evaluation) == 4000
    assert not train & evaluation


def test_a_million_rich_names_are_distinct_as_far_as_we_look() -> None:
    world = Almanac(Atlas(1_000_000, 3))
    indices = range(0, 1_000_000, 101)
    slugs = {(entity.kind, entity.slug) for index in indices if (entity := world.entity(index))}
    assert len(slugs) == len(indices)


@pytest.mark.parametrize("count", [200, 5_000])
def test_every_entity_of_a_rich_world_has_a_name_of_its_own(count: int) -> None:
    world = Almanac(Atlas(count, 11))
    assert len({world.entity(index).name for index in range(count)}) == count
