"""Build nano's tokenizer: byte-level BPE whose pre-tokeniser isolates capitalised words.

A name has the same tokens wherever it stands: after a space, a quote, a slash or a bracket. A blank belongs to the word
before it when a capitalised word follows, so that "of Velmora" is "of " + "Vel" + "mora". The tags of the ReAct grammar
and the fixed parts of a tool call are added tokens, as in larger models' tokenizers; nano's weights never saw them.
"""

import argparse
import itertools
from pathlib import Path

from plaintext import documents
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from webdancer_cli.world.syllables import CODAS, ONSETS

PIECES = r"https?://[^\s/]+/|\.html|[A-Z][a-z]+| ?[a-z]+(?: (?=[A-Z]))?|[0-9]| ?[^\sA-Za-z0-9]+(?: (?=[A-Z]))?|\s+"
WORDS = """
a about after all also an and answer are as at be because been before but by can could did do does each find first for
found from had has have he her here him his how i if in into is it its know known last less link list look made many
may more most must need next no not now of on one only open or other our out over page question read result say says
search see she shown so some such tell than that the their them then there these they this to two under up us use
visit was we well were what when where which who will with work would year yes you your
"""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
GRAMMAR = [
    "<think>\n",
    "\n</think>\n",
    '<tool_call>\n{"name": "search", "arguments": {"query": ["',
    '"]}}\n</tool_call>',
    '<tool_call>\n{"name": "visit", "arguments": {"url": ["',
    '"], "goal": "',
    '"}}\n</tool_call>',
    "<answer>\n",
    "\n</answer>",
    "<tool_response>\n",
    "\n</tool_response>",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def training_text(documents_wanted: int, seed: int) -> list[str]:
    """Plain text with the names taken apart, so that every syllable is one token and no merge crosses two of them."""
    texts = [" ".join(ONSETS), "0".join(CODAS)] * (documents_wanted // 20)
    texts += [_capitalised(WORDS), WORDS] * (documents_wanted // 40)
    texts += [f"http://127.0.0.1:{port}/" for port in range(8765, 8773)] * (documents_wanted // 8)
    texts += [
        "\n<|im_start|>user\n",
        "assistant\n",
        "user\n",
        "system\n",
        ".html",
        "](",
        ")\n",
        "?\n",
    ] * documents_wanted
    for document in itertools.islice(documents(seed), documents_wanted):
        texts.append(_without_names(document.text))
    return texts


def _capitalised(words: str) -> str:
    return " ".join(word.capitalize() for word in words.split())


def _without_names(text: str) -> str:
    onsets = set(ONSETS)
    words = []
    for word, _ in pre_tokenizers.Split(Regex(PIECES), "isolated").pre_tokenize_str(text):
        named = any(word.startswith(onset) and word[len(onset) :] in _CODAS for onset in onsets)
        words.append("Anna" if named else word)
    return "".join(words)


_CODAS = frozenset(CODAS)


def build(vocabulary: int, documents_wanted: int, seed: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(GRAMMAR),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=20,
    )
    tokenizer.train_from_iterator(training_text(documents_wanted, seed), trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in GRAMMAR])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizer = build(options.vocabulary, options.documents, options.seed)
    tokenizer.save_pretrained(options.out)
    lengths = [len(tokenizer.encode(onset + coda)) for onset in ONSETS for coda in CODAS]
    print(f"{len(tokenizer)} tokens; {sum(n == 2 for n in lengths)} of {len(lengths)} names are two tokens")


if __name__ == "__main__":
    main()
