"""What is asked of every page of the report: its numbers are recorded, it is valid and alone."""

import json
import re

import html5lib


def parse(page):
    """Parse strictly: the first mistake is an error."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def classes(element):
    """List an element's classes."""
    return element.get("class", "").split()


def section(tree, id):
    """Give the words of the element with an id."""
    (found,) = [e for e in tree.iter() if e.get("id") == id]
    return " ".join("".join(found.itertext()).split())


def as_shown(style, value):
    """Say a number again, written down apart from the report's formats."""
    if style in ("percent", "percent1"):
        return format(100 * value, ".2f" if style == "percent" else ".1f")
    if style == "seconds":
        return format(value, ".2f" if value < 10 else ".1f")
    if style == "dropped":
        return format(round(1 - value, 6), "g")
    if style == "amount":
        return format(value, ",.0f" if 1e4 <= abs(value) < 1e15 else ",.5g")
    formats = {"count": ",", "plain": "", "fixed": ".3f", "short": ".4g"}
    return format(value, formats[style])


def check_numbers(tree, lookup):
    """Each number is the one at the place that it names; returns them."""
    numbers = tree.findall(".//data")
    for element in numbers:
        value = lookup(element.get("data-record"))
        assert isinstance(value, int | float)
        assert json.loads(element.get("value")) == value, element.get("data-record")
        assert element.text == as_shown(element.get("data-style"), value)
    return numbers


def check_texts(tree, lookup):
    """Each text that is taken from a record is what the record says; returns them."""
    texts = [e for e in tree.iter() if e.get("data-record") and e.tag != "data"]
    for element in texts:
        value = lookup(element.get("data-record"))
        assert "".join(element.itertext()) == ("none" if value is None else str(value))
    return texts


def other_digits(words, allowed):
    """Find the digits among words that no record has."""
    rest = re.sub(allowed, "", words)
    return [rest[max(0, m.start() - 40) : m.end() + 20] for m in re.finditer(r"\d", rest)]


def own_words(element, inside=lambda element, words: None):
    """Give the words under an element without recorded values, plots, navigation and code."""
    tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    if tag in ("svg", "nav", "style", "code") or element.get("data-record"):
        return ""
    special = inside(element, own_words)
    if special is not None:
        return special
    parts = [own_words(child, inside) + (child.tail or "") for child in element]
    return " ".join([element.text or "", *parts])


def check_alone(tree):
    """It asks for nothing and has no script."""
    assert not tree.findall(".//script")
    for element in tree.iter():
        for name, value in element.attrib.items():
            name = name.rpartition("}")[2] if isinstance(name, str) else name[1]
            assert not str(name).startswith("on"), "no script"
            if name in ("src", "srcset", "poster", "action") or (
                name == "href" and element.tag != "a"
            ):
                assert value.startswith(("data:", "#")), (element.tag, value)
    style = "".join(e.text or "" for e in tree.iter("style"))
    assert "url(" not in style
    assert "@import" not in style


def check_ids(tree):
    """Ids are unique, links and labels lead somewhere."""
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in tree.iter("a"):
        target = element.get("href")
        if target.startswith("#"):
            assert target[1:] in ids, target
    for element in tree.iter():
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((element.get(name) or "").split()) <= set(ids)


def check_alternatives(tree):
    """Pictures have texts, tables captions and scopes; returns pictures and plots."""
    pictures = tree.findall(".//img")
    assert all(picture.get("alt") for picture in pictures)
    svgs = tree.findall(".//{http://www.w3.org/2000/svg}svg") or tree.findall(".//svg")
    for svg in svgs:
        children = [c.tag.rpartition("}")[2] for c in svg][:2]
        assert children == ["title", "desc"]
    for table in tree.iter("table"):
        assert all(head.get("scope") for head in table.iter("th"))
    derived = {t for s in tree.iter("section") if "theory" in classes(s) for t in s.iter("table")}
    assert all(t.find("caption") is not None for t in tree.iter("table") if t not in derived)
    return pictures, svgs
