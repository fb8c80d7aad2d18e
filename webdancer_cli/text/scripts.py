"""Scripts that put no spaces between words, as ranges for the inside of a character class."""

HAN_AND_KANA = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
"""Chinese and Japanese, where a character may be taken for a word."""
SOUTHEAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese, Khmer."""
HANGUL = "\uac00-\ud7af"
"""Korean has spaces, but none between a noun and its particles."""
