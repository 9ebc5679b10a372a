"""What a training is: where a policy learns, what it may turn, how much, and what it must beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cellhive.core.errors import BadInput, NotFound
from cellhive.flows.training.beginning import Beginning
from cellhive.flows.training.beside import BesideRules
from cellhive.ran.scenarios import Scenario
from cellhive.rl.actions import HEADS, ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.policy import NEIGHBOURS, PolicyShape
from cellhive.rl.rewards import RewardSettings

JOINT, FUNCTIONS = "joint", "functions"
"""One policy for every knob, or one for each function of the network."""
MOST_NETWORKS = 4096
"""Networks of a city; what is far beyond fills the memory of any machine before it begins."""


@dataclass(frozen=True)
class GateTerms:
    """On what a candidate is judged before it may be registered as one."""

    cities: int = 3
    """Cities per scenario, from the first of its validation seeds on."""
    hours: float = 6.0
    """Simulated time in each city [h], at most the scenario's own."""
    observed_s: float = 30.0
    """Radio time simulated per period [s]."""
    harmless: tuple[str, ...] = ("healthy",)
    """Scenarios in which nothing is wrong: there it must do no harm, and need not gain."""
    margin: float = 0.5
    """Loss of the objective that counts as none [points]."""
    beside_rules: bool = False
    """The rules act too, as with "rl:NAME+rules"."""
    latency_s: float = 0.005
    """Longest 99th percentile of a decision for a whole network, in processor time [s]."""


@dataclass(frozen=True)
class TrainingRecipe:
    """A training; everything in it is kept with the policy that comes of it."""

    name: str
    title: str = ""
    """One line for people."""
    scenarios: tuple[str, ...] = ("highway-corridor",)
    """Names of scenarios, or scenario files."""
    cities: int = 2
    """Cities of each scenario, from the first of its training seeds on."""
    networks: int = 2
    """Networks that are simulated in each city at once; each has users of its own."""
    periods: int = 16
    """Decisions in an episode."""
    observed_s: float = 10.0
    """Radio time simulated in each period [s]."""
    random_start: bool = False
    """Start each episode at a full hour drawn from its seed."""
    heads: tuple[str, ...] = HEADS
    """Parameters that the policy may turn."""
    neighbours: int = 4
    """Strongest neighbours that a cell sees and sets its CIO towards."""
    hidden: int = 64
    """Width of the hidden layers."""
    encoder: str = NEIGHBOURS
    roles: str = JOINT
    """"joint" or "functions"."""
    iterations: int = 60
    """Episodes in each network; after each the policy learns."""
    learning: dict[str, float] = field(default_factory=dict)
    """Settings of the learner that differ from its own, by name."""
    gates: GateTerms = field(default_factory=GateTerms)
    beginning: Beginning = field(default_factory=Beginning)
    """What the policy knows before it first plays."""
    beside_rules: bool = False
    """Learn with the rules at work: what is paid for is what the policy adds to them."""
    neighbour_share: float = RewardSettings().neighbour_share
    """See ``RewardSettings``: what relieves one cell at the cost of others needs a large share."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        ActionSettings(heads=self.heads, neighbours=self.neighbours)
        PolicyShape(self.ordered_heads, self.neighbours, self.hidden, encoder=self.encoder)
        if not self.scenarios:
            raise BadInput(place="scenarios", expected="at least one", found="none")
        begins = self.beginning
        if self.roles != JOINT and (begins.teachers or begins.causal_mask):
            raise BadInput(
                place="--learn-from and --causal-mask", expected="--roles joint", found=self.roles,
                remedy="what is recorded is not divided by functions; train one joint policy",
            )  # fmt: skip
        if self.beside_rules and (begins.teachers or begins.causal_mask or self.roles != JOINT):
            raise BadInput(
                place=f"recipe {self.name}", expected="--roles joint, learnt by playing",
                found="another beginning, or other roles, for what learns beside the rules",
                remedy="leave out --learn-from, --causal-mask and --roles",
            )  # fmt: skip
        for name in ("cities", "networks", "periods", "iterations"):
            if getattr(self, name) < 1:
                raise BadInput(place=name, expected="1 or more", found=str(getattr(self, name)))
        if self.networks > MOST_NETWORKS:
            raise BadInput(
                place="networks", expected=f"1 to {MOST_NETWORKS}", found=str(self.networks)
            )
        if self.roles not in (JOINT, FUNCTIONS):
            raise BadInput(
                place="roles", expected=f"{JOINT} or {FUNCTIONS}", found=repr(self.roles)
            )
        if self.gates.cities < 2:  # noqa: PLR2004 - an interval needs two
            raise BadInput(
                place="gates", expected="2 cities or more, for an interval",
                found=str(self.gates.cities),
            )  # fmt: skip

    @property
    def ordered_heads(self) -> tuple[str, ...]:
        """The parameters in the order of ``actions.HEADS``."""
        return tuple(head for head in HEADS if head in self.heads)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        TrainingRecipe(
            "quick", "Handover settings on the highway: a few minutes, to see how it goes.",
            networks=4, heads=("a3_offset_db", "time_to_trigger_s", "cio_db"), neighbours=2,
            hidden=32, iterations=30, gates=GateTerms(cities=8, hours=4.0),
        ),
        TrainingRecipe(
            "champion", "Timing of handovers, on every scenario that comes with the package.",
            scenarios=("highway-corridor", "mis-tilted", "hex-urban", "stadium-surge",
                       "night-energy", "healthy"),
            cities=3, networks=1, periods=16, random_start=True,
            heads=("a3_offset_db", "hysteresis_db", "time_to_trigger_s", "filter_coefficient"),
            iterations=70,
            learning={"episode_seeds": 16},
            gates=GateTerms(cities=5, hours=6.0, observed_s=20.0, beside_rules=True),
        ),
        TrainingRecipe(
            "sleep", "Which capacity cells sleep, in addition to what the rules do.",
            scenarios=("night-energy", "stadium-surge"),
            cities=5, networks=1, periods=48,
            heads=("asleep",),
            iterations=110,
            learning={"episode_seeds": 16, "keep_bias": 3.0, "entropy": 0.001},
            gates=GateTerms(cities=8, hours=12.0, beside_rules=True),
            beside_rules=True, neighbour_share=0.9,
        ),
        TrainingRecipe(
            "tilt", "Antenna tilts where a site has several carriers, in addition to the rules.",
            scenarios=("stadium-surge", "night-energy"),
            cities=6, networks=1, periods=32,
            heads=("electrical_tilt_deg",),
            iterations=50,
            learning={"entropy": 0.002},
            gates=GateTerms(cities=8, hours=6.0, observed_s=20.0, beside_rules=True),
            beside_rules=True, neighbour_share=0.9,
        ),
    )
}  # fmt: skip
"""Recipes that come with the package, by name."""


def recipe_named(name: str) -> TrainingRecipe:
    """Return a recipe of the package.

    Raises:
        NotFound: With the names there are.
    """
    if name not in RECIPES:
        message = f"--recipe: expected one of {', '.join(RECIPES)}, found {name!r}"
        raise NotFound(message)
    return RECIPES[name]


def training_seeds(scenario: Scenario, count: int) -> range:
    """Return the seeds of the cities that a policy learns in.

    Raises:
        BadInput: The scenario keeps fewer for training.
    """
    return _seeds(scenario.name, scenario.splits.train, count, "train")


def held_out_seeds(scenario: Scenario, count: int) -> range:
    """Return the seeds of the cities that choose between candidates; no policy learns in them.

    Raises:
        BadInput: The scenario keeps fewer for it.
    """
    return _seeds(scenario.name, scenario.splits.validation, count, "validation")


def _seeds(name: str, split: tuple[int, int], count: int, word: str) -> range:
    first, last = split
    if count > last - first + 1:
        raise BadInput(
            place=f"cities of {name}", expected=f"at most {last - first + 1}, its split {word!r}",
            found=str(count),
        )  # fmt: skip
    return range(first, first + count)


def settings_of(recipe: TrainingRecipe, scenarios: Sequence[Scenario]) -> list[EnvironmentSettings]:
    """Return what the environment of every city of every scenario is.

    Args:
        recipe: The training.
        scenarios: Its scenarios, read.
    """
    return [
        EnvironmentSettings(
            scenario, city_seed=seed, observed_s=recipe.observed_s,
            periods=min(recipe.periods, EnvironmentSettings(scenario).decisions),
            random_start=recipe.random_start,
            actions=ActionSettings(
                heads=HEADS if recipe.beside_rules else recipe.heads, neighbours=recipe.neighbours
            ),
        )
        for scenario in scenarios
        for seed in training_seeds(scenario, recipe.cities)
    ]  # fmt: skip


def environments_of(
    recipe: TrainingRecipe, scenarios: Sequence[Scenario],
    tell: Callable[[str, int], None] = lambda name, seed: None,
) -> list[CellEnvironment]:  # fmt: skip
    """Return an environment for every city of every scenario.

    Args:
        recipe: The training.
        scenarios: Its scenarios, read.
        tell: Is told scenario and seed before a city is built.
    """
    built = []
    for settings in settings_of(recipe, scenarios):
        tell(settings.scenario.name, settings.city_seed)
        make = BesideRules if recipe.beside_rules else CellEnvironment
        built.append(make(settings, recipe.networks))
    return built


def with_changes(recipe: TrainingRecipe, changes: Mapping[str, object]) -> TrainingRecipe:
    """Return a recipe with some of its fields changed; None leaves a field as it is."""
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(recipe, **given)  # type: ignore[arg-type]  # fields are checked as they are set
