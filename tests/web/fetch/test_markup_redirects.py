"""Documents that send on by their markup, and documents that only look like it."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from webdancer_cli.web.fetch.markup_redirects import frame_addresses, may_redirect, redirect_target

URL = "http://e.org/docs/"
THERE = "http://e.org/docs/new"
PROSE = "<p>" + "The works of Orrin were opened in 1900 by the town council. " * 30


def sent_on(html: str, url: str = URL, **headers: str) -> str | None:
    return redirect_target(html, url, headers) if may_redirect(html.encode(), headers) else None


@pytest.mark.parametrize(
    "meta",
    [
        '<meta http-equiv="refresh" content="0; url=new">',
        "<META HTTP-EQUIV=REFRESH CONTENT='0;URL=new'>",
        '<meta content="0;url=/docs/new" http-equiv="Refresh" />',
        """<meta http-equiv="refresh" content="0; url='http://e.org/docs/new'">""",
        "<meta http-equiv=refresh content='0; url=\"new\"; x'>",
        '<meta http-equiv="refresh" content="0,new">',
        '<meta http-equiv="refresh" content="0 new">',
        '<meta http-equiv="refresh" content=".5; URL = new#part">',
        '<meta http-equiv=" refresh" content="1; url=  new ">',
        '<meta http-equiv="refresh" content="0;&#117;rl=new">',
        '<base href="/docs/x/"><meta http-equiv="refresh" content="0; url=../new">',
        '<meta http-equiv="refresh" content="10; url=new"><p>This page has moved.',
        '<meta http-equiv="refresh" content="600"><meta http-equiv="refresh" content="0; url=new">',
        "<body><meta http-equiv=refresh content='0;url=new'>",
        "<frameset cols=100%><frame src=new></frameset>",
        "<frameset rows='0,*'><frame src='about:blank'><frame src=new><noframes>No.</noframes></frameset>",
        "<body><iframe src=new width=100%></iframe>",
        "<title>Moved</title><link rel=canonical href=new>",
    ],
)
def test_what_sends_every_reader_on(meta: str) -> None:
    assert sent_on(f"<!doctype html><html><head><title>x</title>{meta}</html>") == THERE


def test_a_refresh_in_the_header_sends_on() -> None:
    assert sent_on(PROSE * 9, refresh="0; url=new") == THERE
    assert sent_on(PROSE * 9, refresh="300; url=new") is None


def test_a_refresh_at_once_sends_on_from_whatever_there_is_to_read() -> None:
    assert sent_on(f'<meta http-equiv="refresh" content="0; url=new">{PROSE * 9}') == THERE


@pytest.mark.parametrize(
    "html",
    [
        f'<meta http-equiv="refresh" content="300">{PROSE}',
        '<meta http-equiv="refresh" content="300; url=new"><p>News of the town',
        '<meta http-equiv="refresh" content="0; url=javascript:go()">',
        '<meta http-equiv="refresh" content="url=new">',
        '<meta http-equiv="refresh">',
        f'<meta http-equiv="refresh" content="10; url=new">{PROSE}',
        '<noscript><meta http-equiv="refresh" content="0; url=new"></noscript>' + PROSE,
        '<body><noscript><div><meta http-equiv="refresh" content="0; url=new"></div></noscript>' + PROSE,
        '<!-- <meta http-equiv="refresh" content="0; url=new"> -->' + PROSE,
        '<script>s = \'<meta http-equiv="refresh" content="0; url=new">\'</script>' + PROSE,
        '<textarea><meta http-equiv="refresh" content="0; url=new"></textarea>' + PROSE,
        "<pre>&lt;meta http-equiv=refresh content='0; url=new'></pre>" + PROSE,
        '<meta name="refresh" content="0; url=new">' + PROSE,
        "<body><p>Text.<iframe src=new></iframe>",
        "<body><iframe src=new></iframe><iframe src=other></iframe>",
        "<link rel=canonical href=new><p>Text.",
        "<link rel=canonical href=new><div id=app></div><script src=app.js></script>",
        "<link rel=canonical href=new><img src=map.png>",
        "<noscript><iframe src=new></iframe></noscript><script>x</script>",
        "<frameset><frame src=a><frame src=b></frameset>",
        "<body><p>Text.<frameset><frame src=new></frameset>",
        "",
    ],
)
def test_what_is_there_to_be_read(html: str) -> None:
    assert sent_on(html) is None


@pytest.mark.parametrize("content", ["0", "0;", "0; url=", "0; url=/docs/#top", "5; url=http://e.org/docs/"])
def test_a_reload_at_once_sends_on_to_itself(content: str) -> None:
    assert sent_on(f'<base href="/x/"><meta http-equiv="refresh" content="{content}">One moment.') == URL


def test_a_set_of_frames_names_each_once() -> None:
    html = "<html><frameset><frame src=a><frameset><frame src='b'><FRAME SRC=/docs/a></frameset><frame></frameset>"
    assert frame_addresses(LexborHTMLParser(html), URL) == [URL + "a", URL + "b"]
    assert frame_addresses(LexborHTMLParser("<body><p>The tag <frame src=a> is old.</p>"), URL) == []
