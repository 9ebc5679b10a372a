"""The command that films a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellhive.cli.output import console

SUFFIXES = (".html", ".htm", ".gif")


def film(
    scenario: Annotated[
        str, typer.Option(help="What to film; see [bold]cellhive scenarios[/bold].")
    ] = "hex-urban",
    hours: Annotated[
        float | None, typer.Option(help="Simulated hours; default: the scenario's own.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the city, its users and its faults.")] = 1,
    optimizer: Annotated[
        str, typer.Option(help="Who proposes: none, rules, or mro, mlb, es, cco alone.")
    ] = "rules",
    observed: Annotated[
        float, typer.Option(help="Radio time simulated in each period of 900 s [s].")
    ] = 10.0,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Film to write: .html plays in a browser, or .gif.")
    ] = Path("film.html"),
) -> None:
    """Film a run: users on the move, sectors coloured by load, one picture per period.

    A page (.html) can be stopped and wound, and shows KPIs beside; a GIF plays anywhere and
    needs Pillow (pip install 'cellhive[rl]').
    """
    from cellhive.adapters.files import check_output, write_whole  # noqa: PLC0415
    from cellhive.app import runs as composition  # noqa: PLC0415
    from cellhive.flows.film import shots  # noqa: PLC0415
    from cellhive.ran.picture import MapPicture  # noqa: PLC0415
    from cellhive.reports.film import drawn, film_gif, film_html  # noqa: PLC0415

    check_output(out, "--out", SUFFIXES)
    run = composition.prepare(
        composition.RunOptions(
            scenario=scenario, hours=hours, seed=seed, optimizer=optimizer, observed_s=observed
        ).checked()
    )
    twin, options = run.twin, run.options
    how = f"seed {seed}, optimiser {optimizer}, {observed:g} s of radio time per quarter of an hour"
    with console(stderr=True).status("Filming ...") as status:
        reel = shots(twin, composition.optimizer_named(optimizer), options.periods)
        if out.suffix.lower() == ".gif":
            picture = MapPicture(twin.world, size_px=560)
            still = picture.ground(twin.simulator)  # a ground that flickers makes large files
            pairs = drawn(reel, lambda: picture.draw(twin.simulator, ground=still))
            write_whole(out, film_gif(pairs, title=scenario))
        else:
            taken = []
            for shot in reel:
                taken.append(shot)
                status.update(f"Filmed {len(taken)} of {options.periods} periods")
            page = film_html(twin.world, taken, title=f"Film: {scenario}", subtitle=how)
            write_whole(out, page.encode("utf-8"))
    print(f"{out}: {options.periods} shots, {out.stat().st_size / 1e6:.1f} MB")
