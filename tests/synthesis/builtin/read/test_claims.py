"""What single sentences claim: on pairs of pages as an encyclopedia has them, and in a manual."""

import re

import pytest

from webdancer_cli.data.records import QA, Link, Page
from webdancer_cli.options import config
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.synthesis.builtin.read.claims import read_claims
from webdancer_cli.synthesis.builtin.read.facts import SUBJECT
from webdancer_cli.synthesis.checks import first_fault
from webdancer_cli.synthesis.page_topic import topic_of

PAIRS = {
    "lake": {
        "Lake Sorrel": (
            "Lake Sorrel is a freshwater lake in the Ardmoor district. It has a surface area of 18.4 square "
            "kilometres and a maximum depth of 63 metres. The lake was first mapped in 1871 by Edwin Thale, a "
            "surveyor from Kessock. It takes its name from the sorrel that grows along its southern shore. "
            "The River Brann is its only outflow. In the winter of 1895 the lake froze over completely. Its "
            "largest island, Gull Holm, lies near the western shore. "
        ),
        "Edwin Thale": (
            "Edwin Thale was a surveyor and cartographer. He was born in Kessock in 1838. Thale studied "
            "geometry at the Royal College of Marrick. In 1871 he mapped Lake Sorrel for the Northern Land "
            "Office. He kept detailed journals throughout his life. His journals are preserved in the Marrick "
            "City Archive. Thale died in 1902 at his home in Kessock. "
        ),
    },
    "mountain": {
        "Mount Calder": (
            "Mount Calder is the highest mountain in the Terrow Range, with an elevation of 3,412 metres. It "
            "was first climbed in 1889 by Ingrid Solberg and her guide Pietro Vann. The mountain is composed "
            "of granite and gneiss. A weather station was built on its summit in 1934. The Calder Glacier "
            "lies on its northern face. The mountain was named after the botanist Hugh Calder. "
        ),
        "Ingrid Solberg": (
            "Ingrid Solberg (1859–1941) was a Norwegian mountaineer and photographer. Born in Tromvik in "
            "1859, she moved to Lindau at the age of nineteen. She founded the Alpine Women's Club in 1893. "
            "Solberg published her memoir, Above the Snow Line, in 1921. She received the Silver Axe in 1925. "
            "Her photographs are held by the Lindau Museum. "
        ),
    },
    "bridge": {
        "Varrow Bridge": (
            "The Varrow Bridge is a cantilever bridge in Eskmouth. It crosses the River Varrow and carries "
            "the Eskmouth railway line. The bridge was designed by Tobias Renn and built between 1901 and "
            "1906. It is 612 metres long and 28 metres wide. The bridge was opened on 14 May 1906 by Queen "
            "Adela. It was closed to traffic in 1978. The bridge is owned by the Eskmouth Harbour Trust. "
        ),
        "Tobias Renn": (
            "Tobias Renn was an engineer who specialised in long-span bridges. He was born on 3 March 1862 in "
            "Holm. Renn studied under Oskar Beyl at the Technical University of Brandeck. He joined Falk & "
            "Sons in 1885. His first bridge was the Holm Viaduct. Renn was awarded the Telford Prize in 1908. "
            "He is buried in Holm. "
        ),
    },
    "company": {
        "Pellworm Instruments": (
            "Pellworm Instruments is a manufacturer of optical instruments based in Aldhaven. The company was "
            "founded in 1923 by Marta Pellworm. It employs about 740 people. Its best-known product is the "
            "Pellworm theodolite. In 1968 the company was acquired by Norden Optics. Pellworm Instruments is "
            'listed on the Aldhaven Stock Exchange. Its motto is "Look twice". '
        ),
        "Marta Pellworm": (
            "Marta Pellworm (12 June 1891 – 4 October 1970) was an inventor and entrepreneur. She grew up in "
            "Sandwick, where her father ran a lens workshop. Pellworm invented the folding theodolite in "
            "1919. She married Jonas Ekdal in 1926. She served as mayor of Aldhaven from 1946 to 1952. The "
            "Pellworm Prize is named after her. "
        ),
    },
    "software": {
        "Tarnlog": (
            "Tarnlog is an open-source logging library written in Go. It was created by Priya Nandan in 2015. "
            "Tarnlog is released under the MIT License. The library supports structured output in JSON and "
            "CBOR. Its current maintainer is the Tarnlog Foundation. Version 2.0 was released in March 2019 "
            "and introduced asynchronous sinks. By default, Tarnlog writes to standard error. The default log "
            'level of Tarnlog is "info". '
        ),
        "Priya Nandan": (
            "Priya Nandan is a software engineer and the author of Tarnlog. She was born in Mysore in 1984. "
            "Nandan studied computer science at the University of Brandeck. She worked at Helix Systems from "
            "2007 to 2014. Nandan started Tarnlog in 2015 as a replacement for Oldlog. She lives in Aldhaven. "
            "In 2020 she received the Open Tools Award. "
        ),
    },
    "novel": {
        "The Glass Orchard": (
            "The Glass Orchard is a novel by Lena Marsh. It was first published in 1958 by Harrow House. The "
            "novel is set in the town of Dunmere. It tells the story of two sisters who inherit a ruined "
            "greenhouse. The book won the Corran Prize in 1959. It was translated into French by Paul Aubin "
            "in 1963. A film adaptation was released in 1971. "
        ),
        "Lena Marsh": (
            "Lena Marsh was a novelist and playwright. She was born in Dunmere in 1920 and died in Oxley in "
            "1988. Marsh worked as a librarian at the Oxley Public Library. Her first novel was Low Water. "
            "She wrote twelve novels and three plays. Marsh was married to the painter Carl Otten. Her papers "
            "are kept at the University of Oxley. "
        ),
    },
    "museum": {
        "Orsted Museum": (
            "The Orsted Museum is a museum of navigation in Karvik. It was established in 1911 and is housed "
            "in the former customs house. The museum was founded by the sea captain Nils Orsted. Its "
            "collection comprises 4,200 instruments. The oldest object is an astrolabe from 1543. The museum "
            "attracts about 90,000 visitors a year. It is managed by the city of Karvik. "
        ),
        "Nils Orsted": (
            "Nils Orsted was a sea captain and collector. He was born in Karvik on 9 January 1848. He went to "
            "sea at the age of fourteen. In 1880, Orsted took command of the barque Freya. He bequeathed his "
            "collection to the city of Karvik in 1910. He died in 1915 and was buried in Saint Olav's "
            "Churchyard. "
        ),
    },
    "town": {
        "Brennick": (
            "Brennick is a town in the county of Loweshire. It lies on the River Aune, 12 kilometres north of "
            "Tarr. The town had a population of 23,150 in 2011. Brennick was granted a market charter in 1287 "
            "by King Edmund. The town is twinned with Saint-Orens. Its town hall was designed by Clara "
            "Whitlock. The Brennick Canal, which opened in 1796, connects the town with Tarr. "
        ),
        "Clara Whitlock": (
            "Clara Whitlock was an architect. She was born in Tarr in 1869. Whitlock trained in the office of "
            "Alfred Stokes. She designed the town hall of Brennick, which was completed in 1904. In 1912 she "
            "became the first woman to be elected to the Guild of Architects. She retired in 1930. Her "
            "drawings are in the collection of the Loweshire Archive. "
        ),
    },
    "lighthouse": {
        "Saltmere Lighthouse": (
            "Saltmere Lighthouse stands on Crane Point, at the entrance to Veldt Sound. Construction began in "
            "1854 under the direction of Magnus Thorne and was completed three years later. The tower is 41 "
            "metres tall and built of grey limestone. Its original lamp burned whale oil; it was converted to "
            "electricity in 1922. The lighthouse was automated in 1987, and its last keeper, Harriet Dole, "
            "retired that year. It is now owned by the Saltmere Preservation Society. "
        ),
        "Magnus Thorne": (
            "Magnus Thorne (7 March 1809 – 22 November 1880) was a Scottish civil engineer, best known for "
            "the lighthouses he built along the coast of Veldt. He was born in Leith, the third son of a "
            "shipwright. After an apprenticeship with Robert Haldane, he opened his own office in 1835. "
            "Thorne's first commission was the harbour wall at Dunsby. He was elected a fellow of the Royal "
            "Society of Corvane in 1861. His papers are held at the Corvane Library. "
        ),
    },
    "bird": {
        "Grey-crested warbler": (
            "The grey-crested warbler (Sylvia cana) is a small songbird found in the highlands of Orrel. It "
            "was first described in 1832 by the naturalist Ferdinand Loew. Adults weigh between 9 and 12 "
            "grams and have a wingspan of 18 centimetres. The species feeds on beetles and small spiders. It "
            "nests in juniper bushes from April to June. The warbler is the national bird of Orrel. "
        ),
        "Ferdinand Loew": (
            "Ferdinand Loew was a German naturalist and explorer. Loew was born in Jena in 1798 and studied "
            "medicine at the University of Halle. Between 1829 and 1833 he travelled through Orrel. He "
            "discovered more than 300 species of plants. His main work, Flora Orrelensis, was published in "
            "1840. The mineral loewite is named in his honour. He died of malaria in Port Anselm in 1847. "
        ),
    },
    "protocol": {
        "Kestrel Protocol": (
            "Kestrel is a message-passing protocol for embedded devices. It was designed by Aiko Tanabe at "
            "Norwell Labs and published in 2009. Kestrel runs over UDP and uses port 4411 by default. The "
            "protocol was standardised as RFC 9821 in 2016. Messages are limited to 1,024 bytes. The "
            "reference implementation, libkestrel, is written in C and distributed under the BSD licence. "
            "Kestrel replaced the older Merlin protocol. "
        ),
        "Aiko Tanabe": (
            "Aiko Tanabe is a Japanese computer scientist. She received her doctorate from the University of "
            "Sendai in 2001. From 2003 to 2012 she worked at Norwell Labs, where she led the networking "
            "group. Tanabe designed the Kestrel protocol in 2009. In 2018 she was appointed professor at the "
            "Helmond Institute of Technology. She is the author of Small Networks, a textbook. "
        ),
    },
    "battle": {
        "Battle of Harrow Ford": (
            "The Battle of Harrow Ford took place on 9 October 1342 near the village of Stenning. King Oswin "
            "III of Mercal was defeated by an army led by Duke Alaric. About 4,000 men were killed. The "
            "battle ended the War of the Two Rivers. A chapel was built on the site in 1351. The battle is "
            "commemorated every year in Stenning. "
        ),
        "Duke Alaric": (
            "Duke Alaric was a nobleman and general. He was born at Castle Renn in 1301. Alaric inherited the "
            "duchy in 1325 from his uncle, Duke Berthold. He married Princess Isolde of Mercal in 1330. After "
            "the Battle of Harrow Ford he ruled Mercal as regent for eleven years. He was murdered in 1353. "
            "His tomb is in Renn Cathedral. "
        ),
    },
    "troupe": {
        "Orbis Players": (
            "The Orbis Players are a theatre company from Lindqvist. The company was formed in 1977 by the "
            "director Saul Berman. It has performed in more than forty countries. Its home is the Old "
            "Granary, which seats 320 people. In 1991 the company received the Helsing Prize for its "
            "production of King Lear. Since 2005 it has been led by Nadia Orlov. "
        ),
        "Nadia Orlov": (
            "Nadia Orlov is an actress and director. Born in Riga in 1968, she joined the Orbis Players in "
            "1990. She has directed more than thirty productions. Orlov won the Golden Mask in 2003 for her "
            "role in The Seagull. She is married to the composer Peter Lund. She teaches acting at the "
            "Lindqvist Academy. "
        ),
    },
    "law": {
        "Open Rivers Act": (
            "The Open Rivers Act is a law of Westmark that regulates the building of dams. It was passed by "
            "the Westmark Assembly on 12 May 1974 by 61 votes to 38 and came into force on 1 January 1975. "
            "The act was drafted by the lawyer Petra Lindqvist. It replaced the Waterways Ordinance of 1921. "
            "The act requires every dam higher than three metres to have a fish ladder. Violations are "
            "punished with fines of up to 50,000 crowns. In 1998 the act was amended by the Floodplain Act. "
            "The Ministry of Waters is responsible for its enforcement."
        ),
        "Petra Lindqvist": (
            "Petra Lindqvist (born 9 August 1931 in Osmund) is a retired lawyer and politician. She graduated"
            " from the University of Tarn in 1955 and was called to the bar two years later. Lindqvist "
            "represented the district of Lower Osmund in the Westmark Assembly from 1966 until 1982. She is a"
            " member of the Green League. In 1983 she became president of the Court of Waters. Lindqvist is "
            "the mother of the composer Eva Lindqvist. She was succeeded by Henrik Voss."
        ),
    },
    "newspaper": {
        "The Halvik Courier": (
            "The Halvik Courier is a daily newspaper published in Halvik. It was founded in 1868 as a weekly "
            "by the printer Jens Aaberg. The paper has a circulation of 84,000. Its editor-in-chief is Nora "
            "Vik. The Courier was banned from 1941 to 1945. In 1972 it was bought by the Lindgren Group. Its "
            "offices are located in Quay Street. The newspaper supports the Liberal Party. The Halvik Courier"
            " won the National Press Award in 1999 for its reports on the harbour strike."
        ),
        "Jens Aaberg": (
            "Jens Aaberg (1829–1902) was a printer, publisher and politician. Aaberg was born on the island "
            "of Fjor and was apprenticed to a printer in Halvik when he was twelve. He set up his own press "
            "in 1854. He printed the first edition of the poems of Maren Lie. From 1877 to 1889 Aaberg sat on"
            " the town council. His house, now a museum, was restored in 1988. Aaberg is the grandfather of "
            "the painter Ruth Aaberg."
        ),
    },
}
"""A thing and a person of it, with about ten plain facts on each page."""


def page(title: str, text: str) -> Page:
    return Page(url=f"http://127.0.0.1/{title.replace(' ', '_')}.html", title=title, text=text.strip())


def write(pages: list[Page], **options: object) -> list[QA]:
    author = BuiltinAuthor(config.CrawlqaOptions(**options))
    return [*(qa for each in pages for qa in author.read(each)), *author.finish()]


def claims(text: str, title: str = "Lake Orrin") -> dict[str, str]:
    """Questions and answers, with the page's name in its place."""
    each = page(title, text)
    topic = topic_of(each)
    return {claim.question.replace(SUBJECT, title): claim.answer for claim in read_claims(each, topic)}


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_of_pages_gives_at_least_five_sound_questions(name: str) -> None:
    pages = [page(title, text) for title, text in PAIRS[name].items()]
    questions = write(pages)
    assert len(questions) >= 5
    texts = {each.url: each.text for each in pages}
    assert {first_fault(qa, texts) for qa in questions} == {None}
    assert {qa.type for qa in questions} == {"single_hop", "temporal"}
    assert {qa.level for qa in questions} == {1}


@pytest.mark.parametrize("name", PAIRS)
def test_every_question_names_its_subject_and_quotes_a_sentence_that_does(name: str) -> None:
    pages = [page(title, text) for title, text in PAIRS[name].items()]
    for qa in write(pages, per_page=50):
        subject = qa.evidence[0].title.casefold()
        assert subject in f"{qa.question} {qa.answer}".casefold()
        assert subject.removesuffix(" protocol") in qa.evidence[0].quote.casefold()
        assert not re.search(
            r"\b(?:it|she|he|they|this|the (?:lake|bridge|company|library|novel|battle(?! of))"
            r"|(?<!grey-crested )warbler)\b",
            qa.question,
        )


LAKE = "Lake Orrin is a lake in the Vell Highlands. "
ADA = "Ada Vell was a surveyor. "
TAB = "Quilltab is a software library. "


FACTS = {
    "Lake Orrin": [
        (f"{LAKE}It covers 42 square kilometres.", "how large an area does Lake Orrin cover", "42 square kilometres"),
        (f"{LAKE}It has an area of 42 km².", "what is the area of Lake Orrin", "42 km²"),
        (f"{LAKE}The lake is 91 metres deep.", "how deep is Lake Orrin", "91 metres"),
        (f"{LAKE}It was mapped in 1884 by the surveyor Ada Vell.", "who mapped Lake Orrin in 1884", "Ada Vell"),
        (f"{LAKE}In 1884 the lake was mapped by Ada Vell.", "in which year was Lake Orrin mapped by Ada Vell", "1884"),
        (f"{LAKE}It is named after the explorer Ivo Brandt.", "after whom is Lake Orrin named", "Ivo Brandt"),
        (f"{LAKE}Its outflow is the River Esk.", "what is the outflow of Lake Orrin", "River Esk"),
        (f"{LAKE}The River Esk is its outflow.", "what is the outflow of Lake Orrin", "River Esk"),
        (f"{LAKE}It drains into the Gulf of Tarn.", "what does Lake Orrin drain into", "Gulf of Tarn"),
        (
            f"{LAKE}In the winter of 1893 it froze completely.",
            "when did Lake Orrin freeze completely",
            "winter of 1893",
        ),
        (LAKE, "where is Lake Orrin", "Vell Highlands"),
        (f"{LAKE}\n| Elevation | 310 metres |", "what is the elevation of Lake Orrin", "310 metres"),
    ],
    "Ada Vell": [
        (f"{ADA}She was born in Tarn in 1851.", "where was Ada Vell born", "Tarn"),
        (f"{ADA}Born in Tarn in 1851, she moved to Karst.", "where was Ada Vell born", "Tarn"),
        ("Ada Vell (1851–1920) was a surveyor.", "in which year did Ada Vell die", "1920"),
        (
            f"{ADA}Her journals are kept at the Vellmark Archive.",
            "where are the journals of Ada Vell kept",
            "Vellmark Archive",
        ),
        (
            f"{ADA}She studied under Oskar Beyl at Marrick College.",
            "under whom did Ada Vell study at Marrick College",
            "Oskar Beyl",
        ),
        (f"{ADA}She married the engineer Ivo Brandt in 1890.", "whom did Ada Vell marry in 1890", "Ivo Brandt"),
        (f"{ADA}She wrote twelve novels.", "how many novels did Ada Vell write", "twelve"),
        (f"{ADA}She described more than 200 lakes.", "how many lakes did Ada Vell describe", "200"),
        (f"{ADA}She went to sea at the age of 15.", "at what age did Ada Vell go to sea", "15"),
        (f"{ADA}She is a member of the Green League.", "what is Ada Vell a member of", "Green League"),
        (
            f"{ADA}Since 1917 she has been a professor at Marrick College.",
            "since which year has Ada Vell been a professor at Marrick College",
            "1917",
        ),
        (
            f"{ADA}She led the Land Office between 1884 and 1890.",
            "between which years did Ada Vell lead the Land Office",
            "1884 and 1890",
        ),
        ("Ada Vell was Bishop of Tarn. She died in 1920.", "in which year did Ada Vell die", "1920"),
        ("Ada Vell is the author of Quilltab.", "who is the author of Quilltab", "Ada Vell"),
    ],
    "Quilltab": [
        ("Quilltab is a library written in Rust by Mira Holt.", "in which language is Quilltab written", "Rust"),
        ("Quilltab is a library written in Rust by Mira Holt.", "who wrote Quilltab in Rust", "Mira Holt"),
        (
            f"{TAB}It is licensed under the Apache License.",
            "under which licence is Quilltab licensed",
            "Apache License",
        ),
        (f"{TAB}It was replaced by Quillgrid in 2021.", "what was Quilltab replaced by in 2021", "Quillgrid"),
        (f"{TAB}It was first released in March 2014.", "when was Quilltab first released", "March 2014"),
        (f"{TAB}The default port of Quilltab is 7411.", "what is the default port of Quilltab", "7411"),
        (f"{TAB}Quilltab listens on port 7411 by default.", "on which port does Quilltab listen by default", "7411"),
        (f"{TAB}It is part of the Helix Project.", "what is Quilltab part of", "Helix Project"),
    ],
    "Quill (language)": [
        ("Quill is a language designed by Mira Holt.", "who designed Quill (language)", "Mira Holt"),
        ("Quill is a language. It first appeared in 2009.", "in which year did Quill (language) first appear", "2009"),
    ],
    "Devnan": [
        ("Devnan is a system started in 2014 by Mira Holt.", "in which year was Devnan started by Mira Holt", "2014"),
    ],
    "SS Star": [
        (
            "SS Star was a steamship. She was laid down on 4 March 1907.",
            "when was SS Star laid down",
            "4 March 1907",
        ),
    ],
    "Tarn University": [
        (
            "Tarn University is a university in Tarn, founded in 1693 by Aldous Finch.",
            "who founded Tarn University in 1693",
            "Aldous Finch",
        ),
        (
            'Tarn University is a university. Its motto is "Through doubt to light".',
            "what is the motto of Tarn University",
            "Through doubt to light",
        ),
        (
            "Tarn University is a university. The current rector is Miriam Sands.",
            "who is the current rector of Tarn University",
            "Miriam Sands",
        ),
    ],
    "The Glass Orchard": [
        ("The Glass Orchard is a novel by Lena Marsh.", "who wrote The Glass Orchard", "Lena Marsh"),
    ],
}


@pytest.mark.parametrize(
    ("title", "text", "question", "answer"), [(title, *fact) for title, facts in FACTS.items() for fact in facts]
)
def test_a_kind_of_fact_has_its_question(title: str, text: str, question: str, answer: str) -> None:
    assert claims(text, title)[question] == answer


@pytest.mark.parametrize(
    "text",
    [
        f"{LAKE}The lake was dammed in 1911. A mill stands on its shore. It was built in 1850 by Ivo Brandt.",
        f"{LAKE}A bridge crosses the narrows. It was opened in 1932 by Queen Adela.",
        f"{LAKE}Lake Sorrel is to the north. The lake was mapped in 1871 by Edwin Thale.",
        f"{LAKE}Two lakes are near. The lake was mapped in 1871 by Edwin Thale.",
        f"{LAKE}The Orrin Dam\nIt was completed in 1911 by Halden Works.",
        f"{LAKE}He was born in 1871 in Kessock.",
        f"{LAKE}It was not mapped until 1884.",
        f"{LAKE}It may have been mapped in 1884 by Ada Vell.",
        f"{LAKE}It was mapped in 1884 or 1885.",
        f"{LAKE}It is said to have been mapped in 1884.",
        f"{LAKE}It was surveyed by the same party in 1884.",
        f"{LAKE}It is named after Orrin Tarn.",
        f"{LAKE}This section was written in 1999 by Ivo Brandt.",
        f"{LAKE}It was founded in 1902 by Halden Works.",
        f"{LAKE}It froze in 1893. Lake Orrin froze in 1929.",
        f"{LAKE}It is composed of granite and gneiss.",
        f"{LAKE}It covers 42 square kilometres, if the bay is counted.",
        f"{LAKE}It was mapped by Ada Vell and many others.",
        f"{LAKE}The survey says three things of Lake Orrin.",
        f"{LAKE}Changed in version 3.9: On maps, the lake is drawn in blue.",
        f"{LAKE}It was named in a decision made by Ada Vell.",
        f"{LAKE}It was drained to test Quilltab on Tarn Dam.",
        f"{LAKE}\nLast modified: December 06, 2004",
    ],
)
def test_what_is_not_certain_is_not_asked(text: str) -> None:
    left = {"where is Lake Orrin": "Vell Highlands", "in which year was Lake Orrin dammed": "1911"}
    assert claims(text).items() <= left.items()


MANUAL = """
Queues and their files
The PPTP (Point-to-Point Tunneling Protocol) protocol was created by Microsoft.
Unit files are stored under /lib/systemd/system/ on installed machines.
The /etc/squirrel.conf file lists all the queues that the daemon opens when the machine starts.
The first command lists all the queues that the daemon opens when the machine starts.
The access method lists all the queues that the daemon opens when the machine starts.
All access methods are known to the daemon.
"""


def test_a_manual_is_asked_about_what_its_sentences_name_themselves() -> None:
    asked = claims(MANUAL, "Queues and their files")
    assert asked.pop("what does the abbreviation PPTP stand for") == "Point-to-Point Tunneling Protocol"
    assert asked.pop("who created the PPTP protocol") == "Microsoft"
    assert asked.pop("where are unit files stored on installed machines") == "/lib/systemd/system/"
    assert asked == {
        "which file lists all the queues that the daemon opens when the machine starts": "/etc/squirrel.conf"
    }


def test_a_question_of_a_manual_names_the_page() -> None:
    (qa,) = write([page("Tunnels and queues", "Tunnels\nThe PPTP protocol was created by Microsoft for modems.")])
    assert qa.question == "According to the page “Tunnels and queues”, who created the PPTP protocol for modems?"


def test_a_page_that_is_tied_to_another_is_asked_about_through_it() -> None:
    mapped = "It was mapped in 1884 by Ada Vell."
    lake = page("Lake Orrin", f"{LAKE}{mapped}")
    lake.links = [Link(url="http://127.0.0.1/Ada_Vell.html", text="Ada Vell", sentence=mapped)]
    ada = page("Ada Vell", f"{ADA}She was born in Tarn in 1851.")
    chains = {qa.question: qa for qa in write([lake, ada]) if qa.type == "multi_hop"}
    chain = chains["Where was the person who mapped Lake Orrin born?"]
    assert (chain.answer, chain.level) == ("Tarn", 2)
    assert [proof.quote for proof in chain.evidence] == [
        LAKE.strip(),
        mapped,
        ADA.strip(),
        "She was born in Tarn in 1851.",
    ]
    assert first_fault(chain, {each.url: each.text for each in (lake, ada)}) is None
