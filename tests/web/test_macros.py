from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.prefilter.origins import Maker, Piece
from app.tables import CandidateState, JobState, WaitReason
from app.web.environment import environment, macros
from app.web.navigation import GROUPS

NOW = datetime(2024, 3, 2, 14, 0, tzinfo=UTC)

CALLS = {
    "badge": '{{ badge("Frozen", "lock", "ok") }}',
    "bar": '{{ bar([("f1", 0.5), ("f5", 0.2)], "Half goes on") }}',
    "checkbox": '{{ checkbox("Keep zoom", "keep", true, count="12") }}',
    "chip": '{{ chip("Histology", "0.98", "ok", "check") }}',
    "confirm": '{% call confirm("Go", "Go?", "It goes.", "/go", 12, "Go 12") %}more{% endcall %}',
    "diff": "{{ diff([]) }}",
    "empty": '{% call empty("upload", "No posts", "Import some.") %}button{% endcall %}',
    "estimate": '{{ estimate({"share": 0.01, "low": 0.0, "high": 0.03, "judged": 9}, 0.02) }}',
    "explained": "{{ explained([]) }}",
    "field": '{{ field("Name", "name") }}',
    "histogram": '{% call histogram([1, 5, 2], "Two peaks", cut=0.5) %}slider{% endcall %}',
    "icon": '{{ icon("check") }}',
    "job_badge": '{{ job_badge("running") }}',
    "job_progress": '{{ job_progress(job, "Import 43") }}',
    "legend": '{{ legend([("f1", "goes on")]) }}',
    "makers": '{{ makers([("llm", "Language model")]) }}',
    "mark": "{{ mark() }}",
    "near_time": "{{ near_time(now) }}",
    "note": '{{ note("bad", "The disk is full.") }}',
    "out_of_band": '{{ out_of_band({"text": "Saved.", "level": "ok"}) }}',
    "page_head": '{{ page_head("Title", "Text", [("Imports", "/imports")]) }}',
    "pager": '{{ pager("/?after=9") }}',
    "regions": '{{ regions([{"text": "Saved.", "level": "ok"}]) }}',
    "select": '{{ select("Role", "role", ["a", ("b", "B")], "b") }}',
    "sentence_list": '{{ sentence_list([{"said": "It is.", "words": ["is"], "doubt": "Check it"}]) }}',
    "sparkline": '{{ sparkline([2.5, 1.5, 1.0], "Loss") }}',
    "stat": '{{ stat("Taken", "7,102", "18,320 images") }}',
    "state_badge": '{{ state_badge("accepted") }}',
    "tag": '{{ tag("Organ: colon", "/candidates") }}',
    "toast": '{% call toast("Accepted C-1.") %}undo{% endcall %}',
    "boxed": '{{ boxed("/i.jpg", 10, 20, "Micrograph", [{"kind": "face", "x": 0, "y": 0, "width": 1, "height": 1}]) }}',
    "viewer": '{{ viewer("/i.jpg", 10, 20, "Micrograph") }}',
    "zoom_tools": "{{ zoom_tools() }}",
}


def job(**changes: Any) -> SimpleNamespace:
    made = {
        "state": JobState.RUNNING,
        "done": 7440,
        "total": 12_000,
        "unit": "posts",
        "started_at": NOW,
        "heartbeat": NOW + timedelta(seconds=24),
        "wait_reason": None,
        "message": "",
        "error": "",
        "cancel_requested": False,
    }
    return SimpleNamespace(**made | changes)


def show(source: str, **context: Any) -> str:
    return environment.from_string(source).render({"now": NOW, "job": job()} | context).replace("\u00a0", " ")


def test_every_macro_is_tried_here() -> None:
    assert set(CALLS) == set(macros(environment))


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_macro_renders(name: str) -> None:
    assert "<" in show(CALLS[name])


@pytest.mark.parametrize("state", CandidateState)
def test_every_candidate_state_has_a_word_and_a_drawing(state: CandidateState) -> None:
    shown = show("{{ state_badge(state) }}", state=state)
    assert "<svg" in shown
    assert state.value.replace("_", " ").capitalize() in shown


@pytest.mark.parametrize("state", JobState)
def test_every_job_state_has_a_word_and_a_drawing(state: JobState) -> None:
    assert "<svg" in show("{{ job_badge(state) }}", state=state)


def test_the_navigation_has_all_its_drawings() -> None:
    for entry in (entry for group in GROUPS.values() for entry in group):
        assert "<path" in show("{{ icon(name) }}", name=entry.icon)


def test_a_refused_field_says_why_and_keeps_its_value() -> None:
    shown = show('{{ field("Name", "name", value, error="Taken.", hint="Letters.") }}', value='"><b>')
    assert 'value="&#34;&gt;&lt;b&gt;"' in shown
    assert 'aria-invalid="true" aria-describedby="f-name-error f-name-hint"' in shown
    assert '<p class="error" id="f-name-error">Taken.</p>' in shown


def test_a_password_is_never_sent_back() -> None:
    assert "secret" not in show('{{ field("Password", "p", "secret", type="password") }}')


def test_further_attributes_go_to_the_input() -> None:
    shown = show('{{ field("N", "n", required=true, disabled=false, hx_get="/x?a=1&b", min=none) }}')
    assert ' required hx-get="/x?a=1&amp;b">' in shown
    assert "disabled" not in shown


def test_a_text_box_keeps_a_leading_line_break() -> None:
    assert ">\n\nfirst</textarea>" in show('{{ field("T", "t", text, type="textarea") }}', text="\nfirst")


def test_the_chosen_option_is_selected() -> None:
    shown = show('{{ select("Size", "size", [1, 2], value="2", empty="Any") }}')
    assert '<option value="2" selected>2</option>' in shown
    assert shown.count("selected") == 1


def test_an_act_without_return_needs_its_number_typed() -> None:
    shown = show(CALLS["confirm"])
    assert 'name="confirm"' in shown
    assert 'required pattern="12"' in shown
    assert "<details" in shown
    assert "more" in shown


def test_a_diff_marks_words_and_escapes_them() -> None:
    pieces = [SimpleNamespace(op=op, text=text) for op, text in (("same", "<i>"), ("del", "20x"), ("ins", "20×"))]
    assert show("{{ diff(pieces) }}", pieces=pieces) == ("<bdi hx-ignore>&lt;i&gt;<del>20x</del><ins>20×</ins></bdi>")


def test_an_explained_caption_says_who_changed_it_and_what_is_doubted() -> None:
    shown = show("{{ explained(pieces) }}", pieces=[Piece("<i>", "ins", Maker.LLM, "Not there"), Piece(" a", "same")])
    mark = '<mark class="doubt" title="Not there"><ins class="by-llm" title="Language model">&lt;i&gt;</ins></mark>'
    assert shown == f"<bdi hx-ignore>{mark} a</bdi>"


def test_a_running_job_says_how_far_how_fast_and_how_long() -> None:
    shown = show('{{ job_progress(job, "Import 43", stop_url="/jobs/1/stop") }}')
    assert '<progress class="progress" value="7440" max="12000" aria-label="Import 43">' in shown
    for words in ("7,440 of 12,000 posts", "310 a second", "15 s left", 'action="/jobs/1/stop"'):
        assert words in shown


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": JobState.QUEUED}, "Waits for a worker"),
        ({"state": JobState.QUEUED, "wait_reason": WaitReason.DISK}, "Waits for room on the disk"),
        ({"state": JobState.FAILED, "error": "Disk was full."}, "Disk was full."),
        ({"cancel_requested": True}, "Stopping"),
        ({"total": None}, "7,440 posts"),
        ({"state": JobState.SUCCEEDED, "done": 12_000}, "12,000 of 12,000 posts"),
    ],
)
def test_a_job_that_does_not_run_says_why(changes: dict[str, Any], words: str) -> None:
    assert words in show('{{ job_progress(job, "Import 43", stop_url="/x") }}', job=job(**changes))


def test_a_job_no_worker_serves_names_the_command() -> None:
    shown = show('{{ job_progress(job, "J", unserved="gpu") }}', job=job(state=JobState.QUEUED))
    assert "No worker serves “gpu”." in shown
    assert "ipath worker --queues gpu" in shown


def test_every_wait_reason_has_its_words() -> None:
    for reason in WaitReason:
        waiting = job(state=JobState.QUEUED, wait_reason=reason)
        assert "Waits for a worker" not in show('{{ job_progress(job, "J") }}', job=waiting)


def test_a_histogram_greys_what_the_cut_drops() -> None:
    below = show('{{ histogram([1, 5, 2, 4], "h", cut=0.5) }}')
    assert [below.count(f'class="{fill}"') for fill in ("f5", "f1", "cut")] == [2, 2, 1]
    above = show('{{ histogram([1, 5, 2, 4], "h", cut=0.25, dropped="above") }}')
    assert [above.count(f'class="{fill}"') for fill in ("f5", "f1")] == [3, 1]


def test_a_sparkline_goes_from_the_highest_to_the_lowest_and_says_its_ends() -> None:
    line = show('{{ sparkline([2.5, 1.0, 1.75], "Loss") }}')
    assert 'points="0.0,5.0 50.0,95.0 100.0,50.0 "' in line
    assert 'aria-label="Loss: from 2.500 to 1.750"' in line


def test_a_sparkline_of_fewer_than_two_values_draws_nothing_and_of_equal_ones_a_line() -> None:
    assert "<svg" not in show('{{ sparkline([], "Loss") }}{{ sparkline([1.0], "Loss") }}')
    assert "<polyline" in show('{{ sparkline([1.0, 1.0], "Loss") }}')


def test_a_histogram_of_nothing_renders() -> None:
    assert "<svg" in show('{{ histogram([], "h") }}{{ histogram([0, 0], "h") }}')


def test_the_parts_of_a_bar_follow_each_other() -> None:
    shown = show(CALLS["bar"])
    assert 'x="0.0%" width="50.0%"' in shown
    assert 'x="50.0%" width="20.0%"' in shown


def test_a_pager_without_pages_is_nothing() -> None:
    assert show("{{ pager() }}").strip() == ""
