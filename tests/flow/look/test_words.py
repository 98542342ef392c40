"""Words that claim nothing that is not so."""

from flow.look import words

LAYERS = [{"name": "conv1", "planes": 8}, {"name": "dense1", "planes": 17}]


def epoch(conv1, dense1=0):
    return {"pruned": {"conv1": conv1, "dense1": dense1}, "paid": {"conv1": 0.25 * conv1, "dense1": 0.0}}


def test_nothing_is_called_adaptive_where_nothing_was_pruned():
    said = words.pruning([epoch(0), epoch(0)], LAYERS)
    assert "room for all 25 planes" in said
    assert "Nothing here was allocated by the loss" in said


def test_what_pruning_took_and_what_the_loss_paid():
    history = [epoch(2), epoch(0), epoch(1, 2)]
    assert "pruning took 5 of 30 planes" in words.pruning(history, LAYERS)
    assert "they cost 0.75 together" in words.pruning(history, LAYERS)
    assert words.paid_by_layer(history) == {"conv1": 0.75, "dense1": 0.0}


def test_histories_that_do_not_say_are_silent():
    assert words.pruning([{"loss": 1.0}], LAYERS) == ""
    assert words.paid_by_layer([{"loss": 1.0}]) is None
