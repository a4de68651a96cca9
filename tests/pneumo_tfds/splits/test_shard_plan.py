"""Shards and order: decided before decoding, from names alone."""

from __future__ import annotations

from pneumo_tfds.phantoms.phantom_source import phantom_source
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.splits.shard_plan import MAX_SHARD_BYTES, make_plan, number_of_shards


def test_shards_stay_within_their_bounds():
    assert number_of_shards(100, 224) == 1
    assert number_of_shards(5_216, 224) == 7
    assert number_of_shards(1_000_000, 224) == 1024
    hundred_million = number_of_shards(100_000_000, 224)
    assert 100_000_000 * 224 * 224 / hundred_million <= MAX_SHARD_BYTES


def test_every_image_is_planned_once_and_order_mixes_classes():
    source = phantom_source(300)
    plan = make_plan(source, 64, SplitOptions())
    planned = [image for shards in plan.shards.values() for shard in shards for image in shard]
    assert sorted(planned) == list(source.images)
    assert len(plan.images()) == 300
    first = [image.label for image in plan.shards["train"][0][:30]]
    assert 5 < first.count("NORMAL") < 25


def test_limit_takes_the_first_of_each_split():
    whole, few = (
        make_plan(phantom_source(100), 64, SplitOptions()),
        make_plan(phantom_source(100), 64, SplitOptions(), 3),
    )
    assert set(few.shards) == set(whole.shards) == {"train", "validation", "test"}
    for split, shards in few.shards.items():
        assert [i for shard in shards for i in shard] == [i for shard in whole.shards[split] for i in shard][:3]
