"""quantumai feed: what it says of what it did, and of what is not there."""

import json

EVENT = json.dumps({"timestamp": "2026-11-21T08:00:00+0000", "event_type": "flow", "src_ip": "192.0.2.1", "host": "feed-command"})


def test_a_feed_says_what_came_of_each_stream_and_that_nothing_is_new(on, tmp_path):
    (tmp_path / "eve.json").write_text(f"{EVENT}\n" + EVENT[:40] + "\n")
    first = on("feed", "eve.json")
    assert first.exit_code == 0 and "eve.json line 2" in first.stdout and "nothing new" not in first.stdout
    again = on("feed", "eve.json")
    assert again.exit_code == 0 and "nothing new in eve.json" in again.stdout


def test_a_feed_that_is_not_there_is_refused_without_a_word_about_news(on):
    missing = on("feed", "nowhere.json")
    assert missing.exit_code != 0 and "nothing new" not in missing.output
    assert "there is no file or folder nowhere.json" in missing.output + str(missing.exception)
