from tests.web.site import BROWSER, HTMX, Site


def test_a_message_is_shown_once_after_a_redirect(site: Site) -> None:
    client = site.client(**BROWSER)
    answer = client.post("/act")
    assert answer.status_code == 303
    assert "Saved" not in answer.text
    first, second = client.get("/"), client.get("/")
    assert "Saved &lt;b&gt;." in first.text
    assert "Saved" not in second.text


def test_htmx_is_redirected_by_header_and_the_message_waits_for_the_page(site: Site) -> None:
    client = site.client(**BROWSER)
    answer = client.post("/act", headers=HTMX)
    assert answer.status_code == 200
    assert answer.headers["hx-redirect"] == "/"
    assert answer.text == ""
    assert "Saved" in client.get("/").text


def test_a_swapped_block_does_not_use_the_message_up(site: Site) -> None:
    client = site.client(**BROWSER)
    client.post("/act")
    assert "Saved" not in client.get("/", headers=HTMX).text
    assert "Saved" in client.get("/").text


def test_messages_of_two_posts_are_both_shown(site: Site) -> None:
    client = site.client(**BROWSER)
    client.post("/act")
    client.post("/act")
    assert client.get("/").text.count("Saved") == 2


def test_htmx_gets_the_message_out_of_band_behind_the_block(site: Site) -> None:
    answer = site.client(**HTMX).post("/part")
    assert answer.text.index("<p>x") < answer.text.index('<div id="toasts" hx-swap-oob="beforeend">')
    assert "Accepted C-1." in answer.text
    assert "set-cookie" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_bad_message_stands_on_top_and_is_announced(site: Site) -> None:
    answer = site.client(**HTMX).post("/part?level=bad")
    assert '<div id="flash" hx-swap-oob="beforeend"><div class="note is-bad" role="alert">' in answer.text


def test_a_forged_cookie_says_nothing(site: Site) -> None:
    client = site.client(**BROWSER)
    client.post("/act")
    kept = client.cookies["flash"]
    client.cookies.clear()
    client.cookies.set("flash", kept[:-4] + "AAAA")
    page = client.get("/")
    assert page.status_code == 200
    assert "Saved" not in page.text


def test_the_cookie_is_for_the_server_only(site: Site) -> None:
    header = site.client(**BROWSER).post("/act").headers["set-cookie"].lower()
    assert "httponly" in header
    assert "samesite=lax" in header
