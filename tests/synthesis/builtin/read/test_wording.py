"""Relations in English."""

import pytest

from webdancer_cli.synthesis.builtin.read.facts import Relation
from webdancer_cli.synthesis.builtin.read.wording import (
    ask_count,
    ask_object,
    ask_subject,
    base_of,
    describe_group,
    describe_object,
    is_clumsy,
    plural,
)
from webdancer_cli.synthesis.page_topic import Topic

TOWN, COMPANY, PERSON = (
    Topic("Velmora", "town"),
    Topic("Kemlo Works", "company"),
    Topic("Dolvek", "painter", person=True),
)


@pytest.mark.parametrize(
    ("relation", "topic", "question", "description"),
    [
        (Relation(noun="mayor"), PERSON, "Who is the mayor of X?", "the mayor of X"),
        (Relation(noun="birthplace"), TOWN, "Which town is the birthplace of X?", "the birthplace of X"),
        (Relation(noun="twin town"), TOWN, "What is the twin town of X?", "the twin town of X"),
        (Relation(noun="source"), Topic("Orr"), "What is the source of X?", "the source of X"),
        (Relation(verb="was born in"), TOWN, "In which town was X born?", "the town in which X was born"),
        (Relation(verb="works at"), COMPANY, "At which company does X work?", "the company at which X works"),
        (Relation(verb="was founded by"), PERSON, "Who founded X?", "the person who founded X"),
        (Relation(verb="is owned by"), PERSON, "By whom is X owned?", "the person by whom X is owned"),
        (Relation(verb="married"), PERSON, "Who did X marry?", "the person whom X married"),
        (Relation(verb="joined"), COMPANY, "Which company did X join?", "the company that X joined"),
        (Relation(verb="studied under"), PERSON, "Under whom did X study?", "the person under whom X studied"),
        (Relation(verb="died in"), TOWN, "In which town did X die?", "the town in which X died"),
        (Relation(verb="wrote"), Topic("Y", "novel"), "Which novel did X write?", "the novel that X wrote"),
    ],
)
def test_an_object_is_asked_for_and_described(
    relation: Relation, topic: Topic, question: str, description: str
) -> None:
    assert ask_object(relation, "X", topic) == question
    assert describe_object(relation, "X", topic) == description


def test_the_subject_of_two_relations() -> None:
    born, works = (Relation(verb="was born in"), "Velmora"), (Relation(verb="works at"), "Kemlo Works")
    assert ask_subject(PERSON, [born, works]) == "Which person was born in Velmora and works at Kemlo Works?"
    teacher = (Relation(noun="teacher"), "Ada")
    asked = "What is the name of the person whose teacher is Ada and who was born in Velmora?"
    assert ask_subject(PERSON, [teacher, born]) == asked


def test_counts_agree_in_number() -> None:
    assert ask_count(Relation(noun="seat"), COMPANY, "Velmora") == "How many companies have Velmora as their seat?"
    assert ask_count(Relation(verb="was born in"), PERSON, "Velmora") == "How many people were born in Velmora?"
    assert ask_count(Relation(verb="lies on"), TOWN, "the Orr") == "How many towns lie on the Orr?"


@pytest.mark.parametrize(
    ("one", "many"), [("city", "cities"), ("person", "people"), ("church", "churches"), ("day", "days")]
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


@pytest.mark.parametrize(
    ("past", "base"),
    [
        *(("moved", "move"), ("created", "create"), ("visited", "visit"), ("planned", "plan"), ("passed", "pass")),
        *(("carried", "carry"), ("belonged", "belong"), ("inspired", "inspire"), ("treated", "treat")),
        *(("explored", "explore"), ("looked", "look"), ("tied", "tie")),
    ],
)
def test_past_forms_are_led_back(past: str, base: str) -> None:
    assert ask_object(Relation(verb=past), "X", COMPANY) == f"Which company did X {base}?"


REGULAR = """
    added:add died:die used:use freed:free agreed:agree guaranteed:guarantee dyed:dye owed:owe argued:argue
    created:create opened:open offered:offer visited:visit developed:develop edited:edit fixed:fix mixed:mix
    programmed:program travelled:travel labelled:label focused:focus released:release increased:increase passed:pass
    based:base published:publish closed:close produced:produce introduced:introduce merged:merge changed:change
    launched:launch managed:manage belonged:belong adopted:adopt received:receive moved:move married:marry
    carried:carry studied:study played:play employed:employ joined:join climbed:climb sailed:sail surveyed:survey
    mapped:map planned:plan stopped:stop admitted:admit committed:commit permitted:permit referred:refer
    occurred:occur transferred:transfer entered:enter covered:cover discovered:discover measured:measure
    weighed:weigh finished:finish reached:reach crossed:cross served:serve retired:retire acquired:acquire
    inspired:inspire completed:complete deleted:delete named:name renamed:rename assumed:assume consumed:consume
    performed:perform formed:form informed:inform designed:design signed:sign assigned:assign resigned:resign
    combined:combine defined:define determined:determine trained:train contained:contain maintained:maintain
    explained:explain gained:gain happened:happen listened:listen widened:widen threatened:threaten screened:screen
    owned:own earned:earn learned:learn turned:turn returned:return governed:govern scored:score stored:store
    restored:restore explored:explore ignored:ignore figured:figure secured:secure featured:feature lectured:lecture
    matured:mature fired:fire hired:hire required:require toured:tour poured:pour powered:power flowered:flower
    lowered:lower answered:answer considered:consider remembered:remember numbered:number ordered:order
    rendered:render bordered:border wandered:wander founded:found funded:fund ended:end extended:extend
    expanded:expand commanded:command demanded:demand attended:attend included:include decided:decide
    provided:provide divided:divide resided:reside traded:trade graded:grade upgraded:upgrade loaded:load
    headed:head needed:need succeeded:succeed proceeded:proceed exceeded:exceed voted:vote noted:note
    promoted:promote quoted:quote devoted:devote wrote:write painted:paint printed:print appointed:appoint
    elected:elect selected:select connected:connect collected:collect directed:direct protected:protect
    rejected:reject constructed:construct instructed:instruct conducted:conduct celebrated:celebrate
    translated:translate operated:operate cooperated:cooperate separated:separate illustrated:illustrate
    demonstrated:demonstrate dedicated:dedicate located:locate relocated:relocate educated:educate dated:date
    updated:update stated:state rated:rate generated:generate integrated:integrate migrated:migrate
    bequeathed:bequeath watched:watch attached:attach searched:search switched:switch pushed:push washed:wash
    established:establish abolished:abolish refurbished:refurbish demolished:demolish boxed:box taxed:tax
    relaxed:relax waxed:wax raised:raise praised:praise promised:promise advised:advise revised:revise
    supervised:supervise exercised:exercise realised:realise organised:organise recognised:recognise
    analysed:analyse sized:size seized:seize memorized:memorize caused:cause paused:pause housed:house
    exposed:expose composed:compose proposed:propose imposed:impose supposed:suppose lost:lose chased:chase
    purchased:purchase leased:lease ceased:cease erased:erase expressed:express addressed:address accessed:access
    processed:process discussed:discuss biased:bias sensed:sense licensed:license dispersed:disperse
    reversed:reverse traversed:traverse involved:involve solved:solve resolved:resolve evolved:evolve
    revolved:revolve improved:improve approved:approve removed:remove proved:prove loved:love lived:live
    survived:survive arrived:arrive derived:derive perceived:perceive achieved:achieve believed:believe
    relieved:relieve shelved:shelve valued:value continued:continue issued:issue pursued:pursue rescued:rescue
    queued:queue dialed:dial sealed:seal revealed:reveal appealed:appeal failed:fail mailed:mail nailed:nail
    installed:install called:call filled:fill killed:kill controlled:control rolled:roll enrolled:enroll pulled:pull
    scaled:scale filed:file compiled:compile piled:pile styled:style titled:title settled:settle battled:battle
    assembled:assemble resembled:resemble tripled:triple coupled:couple sampled:sample handled:handle enabled:enable
    disabled:disable labeled:label modeled:model tied:tie allied:ally applied:apply supplied:supply replied:reply
    relied:rely complied:comply modified:modify specified:specify identified:identify monitored:monitor
    sponsored:sponsor authored:author favored:favor honored:honor tailored:tailor marketed:market targeted:target
    interpreted:interpret exhibited:exhibit inherited:inherit limited:limit orbited:orbit deposited:deposit
    contributed:contribute executed:execute distributed:distribute computed:compute invoked:invoke prepared:prepare
    compared:compare declared:declare shared:share appeared:appear repaired:repair escaped:escape shaped:shape
    wrapped:wrap equipped:equip grouped:group examined:examine imagined:imagine declined:decline mentioned:mention
    questioned:question abandoned:abandon postponed:postpone phoned:phone convened:convene intervened:intervene
    persuaded:persuade invaded:invade preceded:precede superseded:supersede encoded:encode exploded:explode
    concluded:conclude scheduled:schedule profiled:profile escalated:escalate granted:grant awarded:award
    invited:invite united:unite cited:cite ignited:ignite excited:excite signaled:signal totaled:total
    cancelled:cancel modelled:model hauled:haul crawled:crawl drilled:drill spelled:spell smelled:smell
    yielded:yield centred:centre entitled:entitle recycled:recycle tackled:tackle ploughed:plough laughed:laugh
    photographed:photograph engraved:engrave sculpted:sculpt carved:carve excavated:excavate charted:chart
    patented:patent registered:register chaired:chair financed:finance coined:coin staffed:staff stuffed:stuff
    dammed:dam drained:drain discharged:discharge surrounded:surround flooded:flood froze:freeze followed:follow
    borrowed:borrow viewed:view reviewed:review allowed:allow renewed:renew knighted:knight beatified:beatify
    crowned:crown ordained:ordain consecrated:consecrate buried:bury unearthed:unearth interred:inter exiled:exile
    jailed:jail imprisoned:imprison starred:star voiced:voice recorded:record premiered:premiere hanged:hang
    described:describe absorbed:absorb bribed:bribe
    ranged:range floated:float formatted:format rotated:rotate situated:situate graduated:graduate treated:treat
    avoided:avoid guided:guide embedded:embed needed:need
"""


def test_the_spelling_of_a_past_form_tells_its_base() -> None:
    expected = dict(pair.split(":") for pair in REGULAR.split())
    assert {past: base_of(past) for past in expected} == expected


def test_a_group_is_described_in_the_plural() -> None:
    assert describe_group(Relation(verb="was born in"), PERSON, "Velmora") == "people who were born in Velmora"
    assert describe_group(Relation(noun="seat"), COMPANY, "Velmora") == "companies that have Velmora as their seat"


def test_located_is_not_said_twice() -> None:
    known = describe_object(Relation(verb="is located in"), "Orr Hall", TOWN)
    asked = ask_object(Relation(verb="is located in"), known, Topic("Ullesse", "region"))
    assert asked == "In which region is the town in which Orr Hall is located?"


@pytest.mark.parametrize(
    ("question", "knotted"),
    [
        ("On which river does the town in which X was born lie?", False),
        ("On which river does the town on which the river that X crosses lie lie?", True),
        ("In which region is the town in which the author of the novel that X wrote died located?", True),
        ("How many people have the town in which X died as their birthplace?", True),
        ("What is the name of the person who was born in X and who died in the town of Y?", False),
        ("According to the page on the module that X, which tool reads files that hold Y?", False),
    ],
)
def test_clauses_in_clauses_are_knots(question: str, knotted: bool) -> None:
    assert is_clumsy(question) is knotted
