"""Writes the little stories that the demo language model is trained on.

    python3 corpus.py [COUNT] [SEED]     # prints some of them

Every story is made by the grammar below from a seed: nobody's text is in it. Who is in a story, where
it happens and what is found, lost or made stays the same from its first sentence to its last, and
questions about it follow, so that a model that tells them well must look back at what it has said.
"""

import random
import sys

# animal, where it lives
ANIMALS = {
    "fox": "forest", "bear": "forest", "owl": "forest", "rabbit": "meadow", "mouse": "barn", "cat": "house",
    "dog": "house", "duck": "pond", "frog": "pond", "horse": "meadow", "pig": "barn", "hen": "barn",
    "bee": "garden", "turtle": "pond", "deer": "forest", "sheep": "meadow", "snail": "garden", "goat": "hill",
}
BOYS = ["Tom", "Ben", "Max", "Sam", "Leo", "Tim", "Jack", "Finn", "Otto", "Bob"]
GIRLS = ["Lily", "Mia", "Anna", "Lucy", "Rosa", "Zoe", "Emma", "Nora", "Ida", "Sue"]
PEOPLE = {"boy": "village", "girl": "village", "farmer": "farm", "baker": "town", "king": "castle", "queen": "castle"}
SIZES = ["small", "little", "big", "young", "old", "tiny"]
MOODS = ["happy", "kind", "brave", "shy", "clever", "curious", "quiet", "funny"]
COLORS = ["red", "blue", "green", "yellow", "white", "golden", "silver", "brown"]
THINGS = ["ball", "hat", "boat", "kite", "key", "box", "bell", "lamp", "drum", "book", "ring", "stone", "shell", "cup"]
FOOD = ["apple", "cake", "pear", "bread", "pie", "cheese", "soup", "honey"]
PLACES = {
    "forest": "in the forest", "meadow": "in the meadow", "barn": "in the barn", "house": "in a warm house",
    "pond": "by the pond", "garden": "in the garden", "hill": "on a green hill", "village": "in a small village",
    "farm": "on a farm", "town": "in a busy town", "castle": "in a tall castle",
}
SPOTS = ["under a tree", "behind a rock", "near the river", "in the tall grass", "beside the road",
         "on the bridge", "at the lake", "under a bush"]
WEATHER = ["sunny", "rainy", "windy", "cold", "warm", "snowy"]
TIMES = ["One day", "One morning", "One evening", "The next day", "Early in the morning"]


class Who:
    """Somebody in a story."""

    def __init__(self, r: random.Random, taken: set[str]):
        girl = r.random() < 0.5
        self.kind = r.choice(list(ANIMALS) if r.random() < 0.7 else ["boy", "girl", "farmer", "baker", "king", "queen"])
        girl = {"boy": False, "king": False, "girl": True, "queen": True}.get(self.kind, girl)
        self.name = r.choice([n for n in (GIRLS if girl else BOYS) if n not in taken])
        taken.add(self.name)
        self.home = (ANIMALS | PEOPLE)[self.kind]
        self.size, self.mood = r.choice(SIZES), r.choice(MOODS)
        self.he, self.him, self.his = ("she", "her", "her") if girl else ("he", "him", "his")
        self.He, self.His = self.he.capitalize(), self.his.capitalize()


def a(word: str) -> str:
    return ("an " if word[0] in "aeiou" else "a ") + word


def food(word: str) -> str:
    return word if word in ("bread", "cheese", "soup", "honey") else a(word)


def opening(r: random.Random, w: Who) -> list[str]:
    first = r.choice([
        f"Once upon a time there was {a(w.size)} {w.kind} named {w.name}.",
        f"Once there was {a(w.mood)} {w.kind} named {w.name}.",
        f"There once lived {a(w.size)} {w.kind}. {w.His} name was {w.name}.",
    ])
    second = r.choice([
        f"{w.name} lived {PLACES[w.home]}.",
        f"{w.He} lived {PLACES[w.home]}.",
        f"{w.name} lived {PLACES[w.home]} and was very {w.mood}.",
    ])
    return [first, second]


def asked(r: random.Random, pairs: list[tuple[str, str]]) -> str:
    chosen = r.sample(pairs, r.choice([1, 2, 2, 3]))
    return "".join(f"\nQuestion: {q} Answer: {x}" for q, x in chosen)


def about(w: Who) -> list[tuple[str, str]]:
    return [(f"Where did {w.name} live?", f"{w.name} lived {PLACES[w.home]}."),
            (f"Who was {w.name}?", f"{w.name} was {a(w.kind)}.")]


def found(r, w, v):
    """Somebody finds a thing, looks for its owner and gives it back."""
    c, t, s = r.choice(COLORS), r.choice(THINGS), r.choice(SPOTS)
    text = [
        f"{r.choice(TIMES)} {w.name} went for a walk.",
        r.choice([f"{s.capitalize()} {w.he} found {a(c)} {t}.", f"{w.He} found {a(c)} {t} {s}."]),
        r.choice([f'"Whose {t} is this?" said {w.name}.', f'"What a nice {t}!" said {w.name}.', f"{w.name} looked at the {t}."]),
        r.choice([f"Then {w.he} met {v.name} the {v.kind}.", f"Just then {v.name} the {v.kind} came by."]),
        r.choice([f"{v.name} was sad.", f"{v.name} began to cry.", f"{v.name} looked very sad."]),
        r.choice([f'"I lost my {c} {t}," said {v.name}.', f'"My {t} is gone," said {v.name}. "It is {c}."']),
        r.choice([f'"Here it is!" said {w.name}.', f"{w.name} gave {v.him} the {t}."]),
        r.choice([f"{v.name} was so happy that {v.he} danced.", f'"Thank you!" said {v.name}.', f"{v.name} smiled and hugged {w.him}."]),
    ]
    return text, [(f"What did {w.name} find?", f"{w.name} found {a(c)} {t}."), (f"What color was the {t}?", f"The {t} was {c}."),
                  (f"Who lost the {t}?", f"{v.name} lost the {t}."), (f"Where was the {t}?", f"The {t} was {s}.")]


def shared(r, w, v):
    """Somebody has food, somebody else is hungry."""
    f = r.choice(FOOD)
    text = [
        f"{r.choice(TIMES)} {w.name} made {food(f)}." if f in ("cake", "pie", "bread", "soup") else f"{r.choice(TIMES)} {w.name} had {food(f)}.",
        r.choice([f"The {f} smelled very good.", f"{w.He} wanted to eat the {f} under a tree."]),
        r.choice([f"{v.name} the {v.kind} saw the {f}.", f"Then {v.name} the {v.kind} came to {w.him}."]),
        r.choice([f'"I am so hungry," said {v.name}.', f'"Can I have some {f}?" asked {v.name}.']),
        r.choice([f"{w.name} thought for a moment.", f"At first {w.name} did not want to share."]),
        r.choice([f'"Yes," said {w.name}, "we can share the {f}."', f"Then {w.he} gave half of the {f} to {v.name}."]),
        r.choice([f"They ate the {f} together.", f"{w.name} and {v.name} ate until the {f} was gone."]),
        r.choice(["It was the best day of all.", f"{v.name} said thank you.", "Sharing made it taste even better."]),
    ]
    return text, [(f"What did {w.name} share?", f"{w.name} shared the {f}."), (f"Who was hungry?", f"{v.name} was hungry."),
                  (f"What did {w.name} and {v.name} eat?", f"They ate the {f}.")]


def stuck(r, w, v):
    """Somebody is in trouble, somebody else helps."""
    trap, way = r.choice([("in the mud", "pulled"), ("in a hole", "pulled"), ("up in a tree", "brought a ladder and helped"),
                          ("under a log", "pushed the log away and freed"), ("on a small island", "built a boat and saved")])
    d = r.choice(WEATHER)
    out = f"{w.name} {way} {v.him} out." if way == "pulled" else f"{w.name} {way} {v.him}."
    text = [
        r.choice([f"It was a {d} day.", f"{r.choice(TIMES)} it was very {d}."]),
        r.choice([f"{w.name} heard a cry for help.", f'"Help! Help!" somebody called.']),
        r.choice([f"It was {v.name} the {v.kind}.", f"{w.He} ran and saw {v.name} the {v.kind}."]),
        f"{v.name} was stuck {trap}.",
        r.choice([f'"Do not be afraid," said {w.name}. "I will help you."', f'"I am coming!" said {w.name}.', f"{w.name} was afraid, but {w.he} wanted to help."]),
        out,
        r.choice([f'"You saved me!" said {v.name}.', f'"Thank you, {w.name}," said {v.name}.']),
        r.choice([f"From that day on {w.name} and {v.name} were friends.", f"{w.name} was proud and {v.name} was happy."]),
    ]
    return text, [("Who was stuck?", f"{v.name} was stuck {trap}."), (f"Who helped {v.name}?", f"{w.name} helped {v.name}."),
                  ("What was the weather like?", f"It was {d}.")]


def made(r, w, v):
    """Somebody builds a thing, it breaks, they mend it together."""
    c, t = r.choice(COLORS), r.choice(["boat", "kite", "drum", "house", "tower", "swing", "sled", "cart"])
    text = [
        f"{r.choice(TIMES)} {w.name} built {a(c)} {t}.",
        r.choice([f"It took {w.him} all day.", f"{w.He} worked very hard."]),
        r.choice([f"But a strong wind came and the {t} broke.", f"But the {t} fell down and broke.", f"But {v.name} the {v.kind} ran into the {t} and it broke."]),
        r.choice([f"{w.name} was very sad.", f'"Oh no! My {t}!" said {w.name}.']),
        r.choice([f'"Do not cry," said {v.name} the {v.kind}. "We can fix it."', f'{v.name} the {v.kind} came to help.']),
        r.choice(["They worked together until the sun went down.", f"{v.name} held the {t} and {w.name} fixed it."]),
        r.choice([f"Soon the {c} {t} was as good as new.", f"The {t} was even better than before."]),
        r.choice([f'"We did it!" said {w.name}.', f"{w.name} and {v.name} played with the {t} every day.", f"{w.name} was happy again."]),
    ]
    return text, [(f"What did {w.name} build?", f"{w.name} built {a(c)} {t}."), ("What broke?", f"The {t} broke."),
                  (f"Who helped {w.name}?", f"{v.name} helped {w.name}."), (f"What color was the {t}?", f"The {t} was {c}.")]


def raced(r, w, v):
    """Two race; the one who keeps going wins."""
    goal = r.choice(["the old tree", "the river", "the big rock", "the bridge", "the lake"])
    prize = r.choice(FOOD)
    text = [
        f'{r.choice(TIMES)} {v.name} the {v.kind} said, "I am faster than you, {w.name}."',
        r.choice([f'"Let us race to {goal}," said {w.name}.', f'"We will see," said {w.name}. "Let us run to {goal}."']),
        r.choice([f"The prize was {food(prize)}.", f'"The winner gets {food(prize)}," they said.']),
        r.choice([f"{v.name} ran very fast.", f"At first {v.name} was far ahead."]),
        r.choice([f"But {v.he} got tired and fell asleep {r.choice(SPOTS)}.", f"But {v.he} stopped to play {r.choice(SPOTS)}."]),
        r.choice([f"{w.name} was slow, but {w.he} did not stop.", f"{w.name} went on, step by step."]),
        r.choice([f"{w.name} came to {goal} first and won.", f"So {w.name} won the race."]),
        r.choice([f"{w.He} shared the {prize} with {v.name}.", f"{v.name} said, \"You are the winner, {w.name}.\""]),
    ]
    return text, [("Who won the race?", f"{w.name} won the race."), ("What was the prize?", f"The prize was {food(prize)}."),
                  ("Where did they run?", f"They ran to {goal}."), ("Who lost the race?", f"{v.name} lost the race.")]


def wished(r, w, v):
    """Somebody wants to do a thing, learns it from somebody else."""
    skill, proof = r.choice([("swim", "across the lake"), ("sing", "a song for everyone"), ("dance", "all night"),
                             ("read", "a whole book"), ("climb", "to the top of the tree"), ("cook", "soup for all the friends")])
    verb = {"swim": "swam", "sing": "sang", "dance": "danced", "read": "read", "climb": "climbed", "cook": "cooked"}[skill]
    text = [
        r.choice([f"{w.name} wanted to {skill}, but {w.he} did not know how.", f"More than anything {w.name} wanted to learn to {skill}."]),
        r.choice([f"{r.choice(TIMES)} {w.he} asked {v.name} the {v.kind}.", f"So {w.he} went to {v.name} the {v.kind}."]),
        r.choice([f'"Can you teach me to {skill}?" asked {w.name}.', f'"Please show me how to {skill}," said {w.name}.']),
        r.choice([f'"It is not easy," said {v.name}, "but I will show you."', f'"Yes, I can," said {v.name}.']),
        r.choice([f"{w.name} tried and tried.", f"Every day {w.name} tried again."]),
        r.choice(["At first it was hard.", f"Sometimes {w.he} wanted to stop, but {v.name} helped {w.him}."]),
        f"In the end {w.name} {verb} {proof}.",
        r.choice([f'"Well done!" said {v.name}.', f"{v.name} was very proud of {w.him}.", f"{w.name} was the happiest {w.kind} of all."]),
    ]
    return text, [(f"What did {w.name} want to do?", f"{w.name} wanted to {skill}."), (f"Who taught {w.name}?", f"{v.name} taught {w.name}."),
                  (f"What did {w.name} do in the end?", f"{w.name} {verb} {proof}.")]


PLOTS = [found, shared, stuck, made, raced, wished]
ENDINGS = ["The end."] * 3 + ["And they all lived happily.", "Then they went home and slept well."]


def story(r: random.Random) -> str:
    taken: set[str] = set()
    w, v = Who(r, taken), Who(r, taken)
    while v.kind == w.kind:
        v = Who(r, taken)
    text, pairs = r.choice(PLOTS)(r, w, v)
    text = opening(r, w) + text + [r.choice(ENDINGS)]
    questions = pairs + about(w) + [(f"Who was {v.name}?", f"{v.name} was {a(v.kind)}.")]
    return " ".join(text) + (asked(r, questions) if r.random() < 0.7 else "")


def stories(seed: int):
    r = random.Random(seed)
    while True:
        yield story(r)


if __name__ == "__main__":
    source = stories(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        print(next(source), end="\n\n")
