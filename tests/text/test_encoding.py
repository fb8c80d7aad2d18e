"""Bytes to text: what is marked, declared, damaged, or of another charset altogether."""

import codecs

import pytest

from webdancer_cli.text.encoding import codec_for_label, decode_text, is_nearly_utf8

BOOK = "Zoë read “Café” in Łódź – twice."
CHINESE = "奥林水厂于一九〇〇年开放，由市议会建造，至今仍然是居民周末散步的好去处。"
RUSSIAN = "Завод имени «СССР» был открыт в 1900 году, и люди гуляют там до сих пор."
THAI = "กรุงเทพมหานคร เป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย"
KOREAN = "서울특별시립도서관은 1900년에 개관하였습니다. 지금도 많은 사람들이 찾는 곳입니다."
JAPANESE = "東京都立図書館は一九〇〇年に開館しました。今も多くの人が訪れる場所です。"
GERMAN = "„Spaß“ für alle: die Übung „groß“ läuft. Im „Schloß“ gibt es „Maß“ und „Fuß“."
FRENCH = "« L’été dernier, à Besançon, les élèves ont créé un musée » — déjà cité. CAFÉ » ÉCOLE»"


@pytest.mark.parametrize(
    ("codec", "mark"),
    [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
    ],
)
@pytest.mark.parametrize("markup", [True, False])
def test_a_byte_order_mark_stands_above_all_that_is_declared(codec: str, mark: bytes, markup: bool) -> None:
    assert decode_text(mark + BOOK.encode(codec), "text/html; charset=big5", markup=markup) == BOOK


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [f"<p>{CHINESE}", '{"a": "é"}', "\n\n<html>"])
def test_wide_characters_show_without_a_mark(codec: str, text: str) -> None:
    assert decode_text(text.encode(codec)) == text


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ('<meta charset="gbk">', "gbk"),
        ("<META CHARSET = 'GB2312'>", "gbk"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=x-gbk">', "gbk"),
        ("<meta content='text/html;charset=chinese' http-equiv=content-type>", "gbk"),
        ('<?xml version="1.0" encoding="GB18030"?>', "gb18030"),
        ('<!-- <meta charset="koi8-r"> --><meta charset=gbk>', "gbk"),
        ('<meta name="author" content="charset"><meta charset="GBK"/>', "gbk"),
    ],
)
def test_markup_declares_its_charset_in_any_spelling(head: str, codec: str) -> None:
    body = f"{head}<p>{CHINESE}".encode(codec)
    assert decode_text(body, "text/html", markup=True).endswith(CHINESE)


@pytest.mark.parametrize(
    "header", ["text/html; charset=windows-1251", 'text/html;charset="cp1251"', "text/html charset=x-cp1251"]
)
def test_a_header_declares_a_charset_and_stands_above_markup(header: str) -> None:
    assert decode_text(b"<meta charset=utf-8>" + RUSSIAN.encode("cp1251"), header, markup=True).endswith(RUSSIAN)


def test_markup_that_could_be_read_is_not_utf_16_whatever_it_says() -> None:
    assert decode_text(b"<meta charset=utf-16>" + BOOK.encode(), markup=True).endswith(BOOK)


def test_plain_text_declares_nothing() -> None:
    text = f"Write <meta charset=koi8-r> at the top of {BOOK}"
    assert decode_text(text.encode()) == text


@pytest.mark.parametrize("label", ["none", "hex", "rot13", "idna", "utf-7", "punycode", "unicode_escape", "x", "", "é"])
def test_a_label_that_means_nothing_declares_nothing(label: str) -> None:
    assert decode_text(BOOK.encode(), f"text/html; charset={label}") == BOOK


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        (" UTF8 ", "utf-8"),
        ("latin1", "cp1252"),
        ("us-ascii", "cp1252"),
        ("latin-1", "cp1252"),
        ("gb2312", "gb18030"),
        ("x-sjis", "cp932"),
        ("ks_c_5601-1987", "cp949"),
        ("dos-874", "cp874"),
        ("cp437", "cp437"),
        ("utf-32", "utf-32"),
        ("cp99999", ""),
        ("x-user-defined", ""),
    ],
)
def test_labels_mean_what_they_mean_to_browsers(label: str, codec: str) -> None:
    assert codec_for_label(label) == codec


def damaged(text: str, at: int) -> bytes:
    """One character without its last byte."""
    return text[:at].encode() + text[at].encode()[:-1] + text[at + 1 :].encode()


@pytest.mark.parametrize(("text", "at"), [(CHINESE, 5), (RUSSIAN, 20), (THAI, 30), (KOREAN, 3), (JAPANESE, 9)])
def test_one_broken_character_costs_one_mark(text: str, at: int) -> None:
    for body in (damaged(text, at), b"<title>x</title><p>" + damaged(text, at)):
        assert decode_text(body, markup=True).endswith(f"{text[:at]}\ufffd{text[at + 1 :]}")


@pytest.mark.parametrize("text", [CHINESE, RUSSIAN[:-1], THAI, BOOK + "é", "Plain until the end: “"])
def test_utf_8_that_is_cut_off_stays_utf_8(text: str) -> None:
    body = text.encode()[:-1]
    assert decode_text(body) == f"{text[:-1]}\ufffd"


def test_a_byte_of_latin_1_among_utf_8_costs_one_mark() -> None:
    body = BOOK.encode().replace("Zoë".encode(), b"Zo\xeb")
    assert decode_text(body) == BOOK.replace("ë", "\ufffd")
    assert decode_text(body, "text/plain; charset=gb2312") == BOOK.replace("ë", "\ufffd")  # they are no GB 2312 at all


@pytest.mark.parametrize(
    ("text", "codecs_of_old"),
    [
        (GERMAN, "cp1252 mac-roman"),
        (FRENCH, "cp1252 latin-1 mac-roman"),
        (RUSSIAN, "cp1251 koi8-r cp866 iso8859-5"),
        (THAI, "cp874"),
        (CHINESE, "gb18030 big5"),
        (JAPANESE, "cp932 euc_jp"),
        (KOREAN, "cp949"),
        ("Nur „Spaß“ hier", "cp1252"),
        ("SÃO» ou «IRMÃ» não", "cp1252"),
        ("The last word is café", "cp1252"),
        ("北京大学", "gbk"),
    ],
)
def test_other_charsets_are_no_damaged_utf_8(text: str, codecs_of_old: str) -> None:
    assert not any(is_nearly_utf8(text.encode(codec, "ignore")) for codec in codecs_of_old.split())


@pytest.mark.parametrize(("text", "codec"), [(RUSSIAN * 3, "cp1251"), (CHINESE * 3, "gb18030"), (KOREAN * 3, "cp949")])
@pytest.mark.parametrize("before", ["", "plain words " * 9000])
def test_other_charsets_are_guessed_wherever_their_characters_begin(text: str, codec: str, before: str) -> None:
    assert decode_text((before + text).encode(codec)) == before + text


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_the_spaces_of_wide_characters_show_them_where_no_ascii_begins_the_text(codec: str) -> None:
    assert decode_text(RUSSIAN.encode(codec)) == RUSSIAN


@pytest.mark.parametrize(("text", "codec"), [(JAPANESE, "iso-2022-jp"), (KOREAN, "iso-2022-kr")])
def test_escape_sequences_show_a_charset_that_nobody_declares(text: str, codec: str) -> None:
    assert decode_text(f"<p>{text}</p>".encode(codec), "text/html", markup=True) == f"<p>{text}</p>"


@pytest.mark.parametrize("text", [f"{'a' * before}bc\0 plain words, caf\u00e9 and 12.5 km" for before in (1, 2)])
@pytest.mark.parametrize("codec", ["utf-8", "cp1252"])
def test_a_single_null_byte_makes_no_wide_characters(text: str, codec: str) -> None:
    assert "plain words, caf\u00e9 and 12.5 km" in decode_text(text.encode(codec))


def test_a_stray_escape_or_null_byte_is_no_charset() -> None:
    assert decode_text(b"\x1b[1mbold\x1b[0m caf\xc3\xa9") == "\x1b[1mbold\x1b[0m caf\u00e9"
    assert decode_text("a caf\u00e9 and a null \0 at odd and \0 at even places".encode()).startswith("a caf\u00e9")
