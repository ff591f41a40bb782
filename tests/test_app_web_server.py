"""The page's server over real HTTP: a run's files with ranges, nothing else readable, uploads that stream, cookies."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_server import Server, serving

from app.jobs.limits import SIZE_LIMIT_MB
from app.jobs.store import JobSpec, JobState, JobStatus, JobStore

pytestmark = pytest.mark.slow
MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(5000)
VISITOR = "roadlens_visitor=" + "a" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page") / "runs") as running:
        yield running


@pytest.fixture
def run_id(server: Server) -> str:
    """A finished run with a clip of known bytes and a record of no frames."""
    from app.record import Header, RecordWriter
    from geometry.profiles import load_profile

    store = JobStore(server.runs)
    job_id = store.create(JobSpec("/clips/a.mp4", "a.mp4", {}, "a" * 32))
    store.write_status(job_id, JobStatus(JobState.DONE))
    results = store.results(job_id)
    results.mkdir()
    (results / "clip.mp4").write_bytes(bytes(range(256)) * 100)
    with RecordWriter(results / "results.jsonl", Header({}, load_profile("generic"), {"name": "none"}, {})):
        pass
    return job_id


def get(server: Server, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; the path goes out as it is, not tidied by a library."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, {key.lower(): value for key, value in reply.getheaders()}, body


def put(server: Server, body: object, **headers: str) -> tuple[int, dict[str, object]]:
    given = {"X-Roadlens": "upload", "Cookie": VISITOR} | {k.replace("_", "-"): v for k, v in headers.items()}
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.request("PUT", "/uploads", body=body, headers=given, encode_chunked=False)  # type: ignore[arg-type]
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    return reply.status, answer


def uploads(server: Server) -> set[Path]:
    return set((server.runs / "uploads").iterdir())


def test_a_part_of_a_clip_can_be_asked_for(server: Server, run_id: str) -> None:
    status, headers, body = get(server, f"/runs/{run_id}/clip.mp4", Range="bytes=300-309", Accept_Encoding="gzip")
    assert status == 206 and body == bytes(range(44, 54))
    assert headers["content-type"] == "video/mp4" and headers["content-range"] == "bytes 300-309/25600"
    assert headers["x-content-type-options"] == "nosniff" and headers["content-security-policy"] == "sandbox"


def test_the_whole_clip_comes_uncompressed_and_can_be_saved(server: Server, run_id: str) -> None:
    status, headers, body = get(server, f"/runs/{run_id}/clip.mp4?download", Accept_Encoding="gzip")
    assert status == 200 and len(body) == 25600 and "content-encoding" not in headers
    assert headers["content-disposition"] == 'attachment; filename="clip.mp4"'


def test_other_forms_of_the_record_are_made_on_the_first_click(server: Server, run_id: str) -> None:
    status, _, body = get(server, f"/runs/{run_id}/tracks.csv")
    assert status == 200 and body.startswith(b"frame,t_s,track_id,class")
    made = server.runs / run_id / "results" / "exports" / "tracks.csv"
    before = made.stat().st_mtime_ns
    assert get(server, f"/runs/{run_id}/tracks.csv")[2] == body and made.stat().st_mtime_ns == before
    status, _, body = get(server, f"/runs/{run_id}/player.json")
    assert status == 200 and json.loads(body)["frames"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/runs/{run}/../../../../etc/passwd", "/runs/{run}/..%2f..%2f..%2fetc%2fpasswd",
        "/runs/{run}/%2e%2e%2fjob.json",
        "/runs/{run}/job.json", "/runs/{run}/status.json", "/runs/{run}/worker.log", "/runs/..%2f..%2fetc/passwd",
        "/runs/uploads/clip.mp4", "/runs/" + "0" * 24 + "/clip.mp4", "/runs/{run}/results.jsonl%00.png",
        "/runs/{run}/live.jpg", "//etc/passwd", "/media/..%2f..%2fetc%2fpasswd", "/app/static/../../page.py",
    ],
)  # fmt: skip
def test_nothing_else_can_be_read(server: Server, run_id: str, path: str) -> None:
    _, headers, body = get(server, path.format(run=run_id))
    assert b"root:" not in body and b'"owner"' not in body and b"from app" not in body
    assert "text/html" in headers.get("content-type", "") or get(server, path.format(run=run_id))[0] >= 400


def test_an_upload_lands_under_a_random_name(server: Server) -> None:
    status, answer = put(server, MP4)
    assert status == 201
    assert (server.runs / "uploads" / str(answer["token"])).read_bytes() == MP4
    assert put(server, MP4)[1]["token"] != answer["token"]


def test_an_upload_that_is_no_video_is_refused_and_leaves_nothing(server: Server) -> None:
    before = uploads(server)
    status, answer = put(server, b"<html>" * 5000)
    assert status == 415 and "no video by its content" in str(answer["error"])
    assert uploads(server) == before


def test_an_upload_that_says_it_is_too_large_is_refused_before_it_comes(server: Server) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.putrequest("PUT", "/uploads")
    for name, value in (
        ("X-Roadlens", "upload"),
        ("Cookie", VISITOR),
        ("Content-Length", str((SIZE_LIMIT_MB << 20) + 1)),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 413 and f"over {SIZE_LIMIT_MB} MB" in json.loads(reply.read())["error"]
    connection.close()


def test_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    before = uploads(server)
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.putrequest("PUT", "/uploads")
    for name, value in (("X-Roadlens", "upload"), ("Cookie", VISITOR), ("Content-Length", "100000")):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(MP4)
    connection.close()
    for _ in range(100):
        if uploads(server) == before:
            break
        threading.Event().wait(0.1)
    assert uploads(server) == before


@pytest.mark.parametrize("missing", ["X-Roadlens", "Cookie"])
def test_another_sites_page_cannot_upload(server: Server, missing: str) -> None:
    status, answer = put(server, MP4, **{missing.replace("-", "_"): ""})
    assert status == 403 and "from the page only" in str(answer["error"])


def test_each_browser_gets_a_token_that_scripts_cannot_read(server: Server) -> None:
    first, second = (get(server, "/")[1]["set-cookie"] for _ in range(2))
    assert first != second and first.startswith("roadlens_visitor=")
    assert "HttpOnly" in first and "SameSite=Lax" in first
    assert "set-cookie" not in get(server, "/explore", Cookie=VISITOR)[1]
    assert "roadlens_visitor" in get(server, "/explore", Cookie="roadlens_visitor=guess")[1]["set-cookie"]


def test_the_server_listens_on_this_machine_only(server: Server) -> None:
    """Linux tells the addresses of listening sockets in hexadecimal: 0100007F is 127.0.0.1."""
    table = Path("/proc/net/tcp")
    if not table.is_file():
        pytest.skip("no /proc/net/tcp on this system")
    port = f"{int(server.url.rsplit(':', 1)[1]):04X}"
    listening = [line.split()[1] for line in table.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(":" + port)] == [f"0100007F:{port}"]


def test_a_server_that_starts_again_goes_on_with_what_waits(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    store = JobStore(runs)
    done = store.create(JobSpec("/clips/a.mp4", "a.mp4", {}, "a" * 32))
    store.write_status(done, JobStatus(JobState.DONE))
    waits = store.create(JobSpec("/clips/is/not/there.mp4", "b.mp4", {}, "a" * 32))
    with serving(runs):  # no visitor comes
        for _ in range(600):
            if JobStore(runs).status(waits).state.ended:
                break
            threading.Event().wait(0.1)
    status = JobStore(runs).status(waits)
    assert status.state is JobState.FAILED and "no such file" in status.message
    assert JobStore(runs).status(done).state is JobState.DONE
    assert (runs / done).is_dir()
