"""What charts and maps are drawn with: scales, colours, pictures and the SVG shell."""

from cellhive.reports.drawing.colours import ColourScale, change_scale, scale_for
from cellhive.reports.drawing.svg import Look, chart_css, standalone_svg

__all__ = ["ColourScale", "Look", "change_scale", "chart_css", "scale_for", "standalone_svg"]
