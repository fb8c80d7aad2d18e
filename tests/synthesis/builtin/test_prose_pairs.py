"""Pairs of pages as an encyclopedia has them, in varied English: what is asked about them, all read and right."""

import pytest

from webdancer_cli.data.records import QA, Link, Page
from webdancer_cli.options import config
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.synthesis.checks import first_fault
from webdancer_cli.text.words import sentence_spans

PAIRS = {
    "suspension bridge": {
        "Ostrow Bridge": (
            "Spanning the gorge of the River Lamm, the Ostrow Bridge joins the old town of Ostrow to its railway "
            "station. The bridge, which opened to pedestrians in 1868 and to carriages a year later, was the work "
            "of the engineer Helene Kroll, whose design had been chosen from among nineteen entries. Its two "
            "towers, built of red sandstone, rise 38 metres above the water, and the span between them measures "
            "204 metres. When a flood in March 1911 carried away the eastern approach, it was rebuilt within five "
            "months by the firm of Adler and Sons. Since 1974 the bridge, now a listed monument, has been closed "
            "to cars. It appears on the town's coat of arms."
        ),
        "Helene Kroll": (
            "Helene Kroll, born in Marienbrück in 1831 as the daughter of a clockmaker, was an engineer who is "
            "best known for the Ostrow Bridge. Having been refused by the polytechnic at Lorn, she learned her "
            "trade in the drawing office of Viktor Salm, with whom she worked for nine years. In 1859 she "
            "patented a cable clamp that is still in use today. The Ostrow Bridge, her first large work, was "
            "followed by viaducts at Teln and Harrach. Kroll, who never married, left her drawings to the "
            "Technical Museum in Lorn. She died of pneumonia at Ostrow on 2 February 1904."
        ),
    },
    "musical instrument": {
        "Vellaphone": (
            "The vellaphone is a keyed wind instrument that was invented in 1843 by the Dravian organ builder "
            "Anton Weiss. It consists of a conical brass tube about 1.6 metres long, to which twelve keys are "
            "attached. The instrument was first heard in public at the Sarnen Exhibition of 1847, where it won a "
            "silver medal. The name is derived from the town of Vella, in which Weiss had his workshop. Although "
            "it was never adopted by orchestras, the vellaphone remained popular with military bands until the "
            "1880s. Fewer than forty examples survive; the oldest of them is kept in the Museum of Music at "
            "Sarnen. The only concerto for the instrument was written by Clara Hoffer in 1851."
        ),
        "Anton Weiss": (
            "Anton Weiss (14 May 1799 – 30 October 1866) was an organ builder and inventor of musical "
            "instruments. The third of seven children of a miller, he was apprenticed at the age of thirteen to "
            "his uncle, Joseph Weiss, in Sarnen. He settled in Vella in 1824, where he built organs for eleven "
            "village churches. Weiss is remembered above all for the vellaphone, on which he worked for six "
            "years. For this he was awarded the Order of the Lime Tree by Queen Sophie. In 1849 the workshop was "
            "destroyed by fire and had to be rebuilt with borrowed money. He was succeeded as head of the firm by "
            "his daughter Ottilie. A street in Vella bears his name."
        ),
    },
    "island": {
        "Norholm": (
            "Norholm is an uninhabited island in the Skarn Sea, lying some 70 kilometres off the coast of Varde. "
            "It covers an area of 11.3 square kilometres, and its highest point, Mount Brekke, reaches 412 "
            "metres. Discovered by whalers in 1741, the island was not surveyed until 1826, when the botanist "
            "Sigrid Aas spent four months there. Eighty-six kinds of moss grow on Norholm, three of which are "
            "found nowhere else. Sheep were brought to the island in 1880 and removed again by the Varde Nature "
            "Trust in 1996. The lighthouse on its northern tip was built by Captain Lars Moe in 1902 and has been "
            "unmanned since 1961. Norholm belongs to the municipality of Ytre Varde. In the winter of 1893 the "
            "sound froze so hard that foxes crossed it."
        ),
        "Sigrid Aas": (
            "Sigrid Aas was a botanist from Varde whose catalogue of northern mosses remained the standard work "
            "for half a century. She was born at Elvestad in 1794, the only child of a parish clerk. Taught Latin "
            "by her father, she began to correspond with Professor Nils Rud at the age of sixteen. In the summer "
            "of 1826 she sailed to Norholm on the brig Hanna; the diary she kept there is held by the University "
            "Library in Varde. Her principal work, Musci Boreales, was printed by Thrane in 1833. The moss Aasia "
            "alba was named after her by Rud. Aas became a member of the Royal Society of Varde in 1841, and was "
            "the first woman to do so. She spent her last years in Elvestad, where she died in 1869."
        ),
    },
    "newspaper": {
        "The Ferrow Echo": (
            "The Ferrow Echo is a weekly newspaper that is published every Thursday in the mining town of Ferrow. "
            "It was founded in 1887 by Thomas Garrick, a former miner, with the help of a loan from the Workers' "
            "Bank. Printed on a hand press in its first years, the paper moved in 1899 to the building in Lantern "
            "Street that it still occupies. At its peak in 1956 it sold 31,000 copies a week. During the strike "
            "of 1912 the Echo was banned for seven weeks by Governor Alwin Hurst. It has been edited since 2008 "
            "by Joan Pryce, the first woman in that post. In 2015 the newspaper received the Calloway Prize for "
            "its reports on the flooding of the Dunmore pit. The Echo's crossword, which was introduced in 1931, "
            "is set by its readers."
        ),
        "Thomas Garrick": (
            "Thomas Garrick was a journalist and politician who founded The Ferrow Echo. Born into a family of "
            "coal miners at Upper Ferrow in 1852, he went down the pit when he was ten. An accident in 1879, in "
            "which he lost his left hand, ended his work as a miner. He was taught to read and write by the "
            "schoolmistress Agnes Boyle, whom he married in 1881. Garrick sat in the Assembly for the Labour "
            "League from 1895 to 1906. His memoirs, Coal and Ink, were published after his death by his son "
            "Edmund. Garrick died on 9 June 1921 and was buried at Saint Bride's. His desk stands in the Ferrow "
            "Museum."
        ),
    },
    "treaty": {
        "Treaty of Larnmoor": (
            "The Treaty of Larnmoor was an agreement between Castria and the Duchy of Venn that brought the Salt "
            "War to an end. It was signed on 18 September 1764 in the castle of Larnmoor by Count Emil Rostand "
            "for Castria and by the chancellor Otto Brehm for Venn. Under its terms, the city of Hale was ceded "
            "to Castria, and Venn received 400,000 florins. The text, which runs to 42 articles, was drafted in "
            "French by the secretary Paul Dervieux. Negotiations had begun in April 1763 and were interrupted by "
            "the death of Duke Leopold. The treaty was ratified by the Diet of Castria in January 1765. It "
            "remained in force until 1809, when it was replaced by the Convention of Hale. The original is "
            "preserved in the State Archives at Castra."
        ),
        "Emil Rostand": (
            "Count Emil Rostand (1709–1781) was a diplomat and statesman in the service of Castria. Educated by "
            "the Jesuits at Belmar, Rostand entered the foreign office in 1732 as a clerk. From 1748 to 1755 he "
            "was ambassador in Venn, where he learned the language and collected clocks. In 1764 he signed the "
            "Treaty of Larnmoor, for which King Ferdinand gave him the estate of Montrey. He was made a count in "
            "the same year. His wife, the painter Louise Arnaud, bore him two daughters. Rostand's letters were "
            "edited by the historian Jean Morel in 1902. He is buried in the chapel of Montrey, which he had "
            "built himself."
        ),
    },
}

RIGHT = {
    "suspension bridge": {
        "Whose work was the Ostrow Bridge?": "Helene Kroll",
        "In which year did the Ostrow Bridge open to pedestrians?": "1868",
        "Since which year has the Ostrow Bridge been closed to cars?": "1974",
        "Where was Helene Kroll born?": "Marienbrück",
        "Where did Helene Kroll die?": "Ostrow",
        "In which year was Helene Kroll born?": "1831",
        "When did Helene Kroll die?": "2 February 1904",
    },
    "musical instrument": {
        "Who invented the vellaphone in 1843?": "Anton Weiss",
        "In which year was the vellaphone invented by the Dravian organ builder Anton Weiss?": "1843",
        "At what age was Anton Weiss apprenticed?": "thirteen",
        "Where did Anton Weiss settle?": "Vella",
        "Who was Anton Weiss succeeded by as head of the firm?": "Ottilie",
        "When was Anton Weiss born?": "14 May 1799",
        "When did Anton Weiss die?": "30 October 1866",
        "In which year did Anton Weiss settle in Vella?": "1824",
    },
    "island": {
        "What is an uninhabited island in the Skarn Sea, lying some 70 kilometres off the coast of Varde?": "Norholm",
        "Where is Norholm?": "Skarn Sea",
        "What area does Norholm cover?": "11.3 square kilometres",
        "What does Norholm belong to?": "Ytre Varde",
        "In which year was Norholm discovered by whalers?": "1741",
        "What is the name of the botanist from Varde whose catalogue of northern mosses remained the "
        "standard work for half a century?": "Sigrid Aas",
        "Where was Sigrid Aas born?": "Elvestad",
        "At what age did Sigrid Aas begin to correspond with Professor Nils Rud?": "sixteen",
        "What was the principal work of Sigrid Aas?": "Musci Boreales",
        "In which year was Sigrid Aas born?": "1794",
        "When did Sigrid Aas sail to Norholm on the brig Hanna?": "summer of 1826",
    },
    "newspaper": {
        "Who founded The Ferrow Echo?": "Thomas Garrick",
        "Who has edited The Ferrow Echo since 2008?": "Joan Pryce",
        "What did The Ferrow Echo receive for its reports on the flooding of "
        "the Dunmore pit in 2015?": "Calloway Prize",
        "In which year was The Ferrow Echo founded by Thomas Garrick?": "1887",
        "Since which year has The Ferrow Echo been edited by Joan Pryce?": "2008",
        "In which year did The Ferrow Echo receive the Calloway Prize for its reports on the flooding of "
        "the Dunmore pit?": "2015",
        "When did the person who founded The Ferrow Echo die?": "9 June 1921",
        "Where was the person who founded The Ferrow Echo buried?": "Saint Bride's",
        "What is the name of the journalist and politician who founded The Ferrow Echo?": "Thomas Garrick",
        "Where was Thomas Garrick buried?": "Saint Bride's",
        "Where does the desk of Thomas Garrick stand?": "Ferrow Museum",
        "When did Thomas Garrick die?": "9 June 1921",
    },
    "treaty": {
        "Which agreement did Emil Rostand sign?": "Treaty of Larnmoor",
        "When was the Treaty of Larnmoor signed in the castle of Larnmoor?": "18 September 1764",
        "When was the Treaty of Larnmoor ratified by the Diet of Castria?": "January 1765",
        "Where was Emil Rostand educated by the Jesuits?": "Belmar",
        "Who edited the letters of Emil Rostand in 1902?": "Jean Morel",
        "Where is Emil Rostand buried?": "chapel of Montrey",
        "In which year was Emil Rostand born?": "1709",
        "In which year did Emil Rostand sign the Treaty of Larnmoor?": "1764",
        "In which year were the letters of Emil Rostand edited by the historian Jean Morel?": "1902",
        "When was the agreement that Emil Rostand signed ratified by the Diet of Castria?": "January 1765",
    },
}
"""Every question that is written about a pair, as read by a person; a new kind of question is to be read, too."""

LEAST = 5


def written(pair: dict[str, str]) -> list[QA]:
    author, names = BuiltinAuthor(config.CrawlqaOptions()), list(pair)
    pages = []
    for name, told in pair.items():
        text, (other,) = f"{name}\n{told}", [each for each in names if each != name]
        sentences = [text[start:end] for start, end in sentence_spans(text) if other in text[start:end]]
        links = [
            Link(url=f"http://127.0.0.1/{names.index(other)}", text=other, sentence=each) for each in sentences[:1]
        ]
        pages.append(Page(url=f"http://127.0.0.1/{names.index(name)}", title=name, text=text, links=links))
    found = [*(qa for page in pages for qa in author.read(page)), *author.finish()]
    assert {first_fault(qa, {page.url: page.text for page in pages}) for qa in found} == {None}
    return found


@pytest.mark.parametrize("pair", PAIRS)
def test_about_a_thing_and_a_person_at_least_five_questions_are_asked_and_all_are_right(pair: str) -> None:
    asked = {qa.question: qa.answer for qa in written(PAIRS[pair])}
    assert len(asked) >= LEAST
    assert asked.items() <= RIGHT[pair].items()


def test_what_held_at_one_time_is_not_asked_as_if_it_held_always() -> None:
    """ "At its peak in 1956 it sold 31,000 copies a week." """
    assert not any("sell" in qa.question for qa in written(PAIRS["newspaper"]))
