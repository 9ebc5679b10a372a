"use strict";
(function () {
  const place = document.getElementById("cells-data"), drill = document.getElementById("drill");
  if (!place || !drill) return;
  const data = JSON.parse(place.textContent), sites = JSON.parse(document.getElementById("sites-data").textContent);
  const svgNs = "http://www.w3.org/2000/svg";
  const make = function (tag, attributes, text) {
    const node = ["svg", "polyline", "polygon", "circle", "rect", "text", "line", "title"].includes(tag) ? document.createElementNS(svgNs, tag) : document.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) { node.setAttribute(name, attributes[name]); });
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const short = function (value) {
    if (value === null || !isFinite(value)) return "–";
    return value.toLocaleString("en", { maximumSignificantDigits: 4, useGrouping: Math.abs(value) >= 1e4 }).replace(/,/g, "\u202f").replace("-", "\u2212");
  };
  const withUnit = function (value, unit) { return short(value) + (unit && value !== null ? "\u00a0" + unit : ""); };

  /* Unpacking: once, when the first object is asked for. */
  let bytes = null;
  const unpacked = function () {
    if (bytes) return Promise.resolve(bytes);
    if (typeof DecompressionStream === "undefined") return Promise.reject(new Error("This browser is too old to unpack the series; the tables need nothing of it."));
    const raw = Uint8Array.from(atob(data.packed), function (c) { return c.charCodeAt(0); });
    return new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer()
      .then(function (buffer) { bytes = buffer; return buffer; });
  };
  const width = data.top > 255 ? 2 : 1;
  let offset = 0;
  data.kpis.forEach(function (kpi) {
    kpi.cells = data.orders[kpi.cells];
    const rows = kpi.cells.length + 1, size = rows * kpi.points * (kpi.pairs ? 2 : 1) * width;
    kpi.ends = offset; kpi.body = offset + rows * 8;
    offset = kpi.body + size + (4 - size % 4) % 4;
    kpi.row = new Map(kpi.cells.map(function (cell, index) { return [cell, index + 1]; }));
  });
  /* Returns [low, high] of every stretch; null where nothing is known. */
  const series = function (kpi, row) {
    const count = kpi.points, plane = (kpi.cells.length + 1) * count, top = data.top;
    const ends = new Float32Array(bytes, kpi.ends + row * 8, 2);
    const codes = new (width === 1 ? Uint8Array : Uint16Array)(bytes, kpi.body, plane * (kpi.pairs ? 2 : 1));
    const out = [];
    for (let i = 0; i < kpi.points; i += 1) {
      const low = codes[row * count + i], high = kpi.pairs ? codes[plane + row * count + i] : low;
      out.push(low > top ? null : [ends[0] + low / top * (ends[1] - ends[0]), ends[0] + high / top * (ends[1] - ends[0])]);
    }
    return out;
  };

  const nice = function (low, high) {
    if (!(high > low)) { const room = Math.abs(high) * 0.1 || 1; return [low - room, high + room]; }
    const raw = (high - low) / 3, power = Math.pow(10, Math.floor(Math.log10(raw)));
    const step = [1, 2, 5, 10].find(function (f) { return raw <= f * power * 1.0000001; }) * power;
    return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
  };
  const day = function (x, span) {
    const moment = new Date(x * 1000).toISOString();
    return span > 3 * 86400 ? moment.slice(0, 10) : span > 600 ? moment.slice(5, 16).replace("T", " ") : moment.slice(11, 19);
  };
  const W = 330, H = 104, L = 46, R = 8, T = 6, B = 20;
  const plot = function (kpi, own, usual, marks) {
    let low = Infinity, high = -Infinity;
    [own, usual].forEach(function (line) { line.forEach(function (p) { if (p) { low = Math.min(low, p[0]); high = Math.max(high, p[1]); } }); });
    if (!isFinite(low)) return null;
    const limits = nice(low, high), x0 = kpi.start, x1 = kpi.start + kpi.step * Math.max(kpi.points - 1, 1);
    const px = function (i) { return L + i / Math.max(kpi.points - 1, 1) * (W - L - R); };
    const py = function (v) { return H - B - (v - limits[0]) / (limits[1] - limits[0]) * (H - B - T); };
    const chart = make("svg", { "class": "chart", viewBox: "0 0 " + W + " " + H, role: "img", "data-axes": [x0, x1, L, W - R, limits[0], limits[1], H - B, T].join(" "), "data-x": kpi.timed ? "calendar" : ". row", "data-unit": kpi.unit });
    chart.append(make("title", {}, kpi.name));
    [0, 0.5, 1].forEach(function (share) {
      const v = limits[0] + share * (limits[1] - limits[0]);
      chart.append(make("line", { "class": "grid", x1: L, x2: W - R, y1: py(v), y2: py(v) }), make("text", { "class": "axis", x: L - 4, y: py(v) + 4, "text-anchor": "end" }, short(v)));
    });
    const merged = [];
    marks.slice().sort(function (a, b) { return a.start - b.start; }).forEach(function (one) {
      const last = merged.find(function (m) { return m.effect === one.effect && m.end >= one.start; });
      if (last) last.end = Math.max(last.end, one.end); else merged.push({ start: one.start, end: one.end, effect: one.effect });
    });
    if (kpi.timed) merged.forEach(function (one) {
      const a = Math.max(L, L + (one.start - x0 - kpi.step / 2) / (x1 - x0) * (W - L - R)), b = Math.min(W - R, L + (one.end - x0 - kpi.step / 2) / (x1 - x0) * (W - L - R));
      if (b >= a) { const span = make("rect", { "class": "span " + ({ worse: "worse", better: "better", mixed: "warn" }[one.effect] || "info"), x: a, y: T, width: Math.max(b - a, 1.5), height: H - B - T }); chart.append(span); }
    });
    chart.append(make("text", { "class": "axis", x: L, y: H - 5 }, kpi.timed ? day(x0, x1 - x0) : "first row"), make("text", { "class": "axis", x: W - R, y: H - 5, "text-anchor": "end" }, kpi.timed ? day(x1, x1 - x0) : "last row"));
    const runs = function (line, draw) {
      let run = [];
      line.concat([null]).forEach(function (p, i) { if (p) run.push([px(i), p]); else { if (run.length) draw(run); run = []; } });
    };
    const path = function (run, side, look, name) {
      if (run.length === 1) { chart.append(make("circle", { "class": "dot run", cx: run[0][0].toFixed(1), cy: py(run[0][1][side]).toFixed(1), r: 1.8, "data-name": name })); return; }
      chart.append(make("polyline", { "class": "line " + look, points: run.map(function (p) { return p[0].toFixed(1) + "," + py(p[1][side]).toFixed(1); }).join(" "), "data-name": name }));
    };
    const hours = kpi.step / 3600, stretch = kpi.timed ? (hours >= 48 ? hours / 24 + " days" : hours >= 1 ? short(hours) + " h" : short(kpi.step / 60) + " min") : kpi.step + " rows";
    if (kpi.cells.length > 1) runs(usual.map(function (p) { return p && [(p[0] + p[1]) / 2, (p[0] + p[1]) / 2]; }), function (run) { path(run, 0, "typical", "median of all"); });
    runs(own, function (run) {
      if (!kpi.pairs) { path(run, 0, "run", "value"); return; }
      if (run.length > 1) chart.append(make("polygon", { "class": "band run", points: run.map(function (p) { return p[0].toFixed(1) + "," + py(p[1][0]).toFixed(1); }).concat(run.slice().reverse().map(function (p) { return p[0].toFixed(1) + "," + py(p[1][1]).toFixed(1); })).join(" ") }));
      path(run, 1, "edge", "highest in " + stretch); path(run, 0, "edge", "lowest in " + stretch);
    });
    return chart;
  };

  const box = document.getElementById("cell"), name = document.getElementById("cell-name"), filter = document.getElementById("kpi-filter");
  const MOST = 36;
  const words = function (count, what) { return count + " " + what + (count === 1 ? "" : "s"); };
  let shown = -1;
  const figureOf = function (kpi, cell, row, incidents) {
    const chart = plot(kpi, series(kpi, row), series(kpi, 0), incidents.flatMap(function (one) { return one.members.filter(function (m) { return m[0] === cell && (m[1] === kpi.like || m[1] === -1); }).map(function (m) { return { start: m[2], end: m[3], effect: one.effect }; }); }));
    if (!chart) return null;
    const figure = make("figure", { "data-kpi": kpi.name.toLowerCase() }), caption = make("figcaption");
    const called = make("b");
    kpi.name.split(/([_./]+)/).forEach(function (part) { called.append(part); if (/^[_./]/.test(part)) called.append(make("wbr")); });
    caption.append(called, make("span", {}, withUnit(kpi.values[row - 1], kpi.unit) + (kpi.cells.length > 1 ? "; all " + withUnit(kpi.usual, kpi.unit) : "")));
    figure.append(caption, chart);
    return figure;
  };
  const narrow = function () {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    box.querySelectorAll("figure").forEach(function (one) { one.hidden = !wanted.every(function (w) { return one.dataset.kpi.includes(w); }); });
  };
  const draw = function (cell) {
    const incidents = data.incidents.filter(function (one) { return one.cells.includes(cell); });
    box.replaceChildren(make("h3", {}, data.cells[cell]));
    const list = make("ul");
    incidents.slice(0, 12).forEach(function (one) {
      const item = make("li");
      item.append(make("a", { href: "#" + one.at }, one.text), ", " + one.when + (one.effect ? " (" + one.effect + ")" : ""));
      list.append(item);
    });
    if (incidents.length > 12) list.append(make("li", {}, "and " + (incidents.length - 12) + " more in the table of incidents"));
    box.append(incidents.length ? list : make("p", { "class": "empty" }, data.judged ? "No incident here." : "No incidents were looked for."));
    const grid = make("div", { "class": "small" }), every = data.kpis.filter(function (kpi) { return kpi.row.has(cell); });
    const marked = new Set(incidents.flatMap(function (one) { return one.members.filter(function (m) { return m[0] === cell; }).map(function (m) { return m[1]; }); }));
    /* A plot needs more than one value that differ; what never changes is a line of a table. */
    const moves = function (kpi) {
      const known = series(kpi, kpi.row.get(cell)).filter(Boolean);
      return known.length > 1 && known.some(function (p) { return p[0] !== known[0][0] || p[1] !== known[0][0]; });
    };
    const kpis = every.filter(moves), still = every.filter(function (kpi) { return !kpis.includes(kpi) && kpi.values[kpi.row.get(cell) - 1] !== null; });
    kpis.sort(function (a, b) { return marked.has(b.like) - marked.has(a.like); });
    const add = function (kpi) { const figure = figureOf(kpi, cell, kpi.row.get(cell), incidents); if (figure) grid.append(figure); };
    let rest = filter.value ? [] : kpis.slice(MOST);
    kpis.slice(0, kpis.length - rest.length).forEach(add);
    if (kpis.length) box.append(make("p", { "class": "note" }, words(kpis.length, "KPI") + (incidents.length ? ", those with an incident first" : "") + ". At the right of each name: the median here, and of all. The dashed line is the median of all; shaded: incidents. Times: " + data.axis + "."), grid);
    if (rest.length) {
      const more = make("button", { type: "button", "class": "more" }, "Show " + words(rest.length, "more KPI"));
      more.addEventListener("click", function () { rest.forEach(add); rest = []; more.remove(); narrow(); });
      box.append(more);
    }
    if (still.length) {
      const table = make("table"), fold = make("details");
      still.forEach(function (kpi) {
        const row = make("tr"), at = kpi.row.get(cell) - 1;
        row.append(make("th", { scope: "row" }, kpi.name), make("td", { "class": "num" }, withUnit(kpi.values[at], kpi.unit)), make("td", { "class": "muted" }, kpi.cells.length > 1 ? "all: " + withUnit(kpi.usual, kpi.unit) : ""));
        table.append(row);
      });
      fold.open = !kpis.length; fold.append(make("summary", {}, words(still.length, "KPI") + " with one value only"), table);
      box.append(fold);
    }
    narrow();
  };
  const open = function (cell, focus) {
    if (cell < 0 || cell >= data.cells.length) return;
    shown = cell; drill.hidden = false; name.value = data.cells[cell];
    unpacked().then(function () { draw(cell); }, function (error) { box.replaceChildren(make("p", { "class": "banner" }, error.message)); })
      .then(function () { if (focus) { drill.scrollIntoView(); box.focus({ preventScroll: true }); } });
  };
  drill.hidden = false;
  const names = document.getElementById("cell-names");
  data.cells.slice(0, 5000).forEach(function (text) { names.append(make("option", { value: text })); });
  name.addEventListener("change", function () {
    let cell = data.cells.indexOf(name.value);
    if (cell < 0) cell = data.cells.findIndex(function (text) { return text.toLowerCase().includes(name.value.toLowerCase()); });
    if (cell >= 0) history.replaceState(null, "", "#cell=" + data.links[cell]);
    open(cell, false);
  });
  filter.addEventListener("input", function () { if (bytes && shown >= 0 && box.querySelector("button.more")) draw(shown); else narrow(); });
  const follow = function () {
    if (location.hash.startsWith("#cell=")) open(data.links.indexOf(location.hash.slice(6)), true);
  };
  addEventListener("hashchange", follow);
  document.addEventListener("click", function (event) {
    const link = event.target instanceof Element && event.target.closest("a.cell");
    if (link && link.hash === location.hash) { event.preventDefault(); follow(); }
  });
  if (location.hash.startsWith("#cell=")) follow(); else if (data.cells.length) open(0, false);

  /* The map. */
  const select = document.getElementById("map-kpi"), figure = document.getElementById("sites");
  if (!select || !figure) return;
  const sectors = Array.from(figure.querySelectorAll("path.sector")), key = figure.querySelector(".mapkey"), title = figure.querySelector("text.title");
  const first = { fills: sectors.map(function (s) { return s.getAttribute("style"); }), kinds: sectors.map(function (s) { return s.getAttribute("class"); }), tips: sectors.map(function (s) { return s.querySelector("title").textContent; }), key: key.innerHTML, title: title.textContent };
  data.kpis.forEach(function (kpi, index) {
    if (sites.cells.some(function (cell) { return kpi.row.has(cell); })) select.append(make("option", { value: index }, kpi.name + (kpi.unit ? " [" + kpi.unit + "]" : "")));
  });
  const tipOf = function (sector) { let tip = sector.querySelector("title"); if (!tip) { tip = make("title"); sector.prepend(tip); } return tip; };
  const colour = function () {
    if (select.value === "") {
      sectors.forEach(function (s, i) { if (first.fills[i]) s.setAttribute("style", first.fills[i]); s.setAttribute("class", first.kinds[i]); tipOf(s).textContent = first.tips[i]; });
      key.innerHTML = first.key; title.textContent = first.title;
      return;
    }
    const kpi = data.kpis[+select.value], shades = sites.palettes[kpi.better] || sites.palettes[""];
    const value = function (sector) { const row = kpi.row.get(sites.cells[+sector.dataset.cell]); return row === undefined ? null : kpi.values[row - 1]; };
    const known = sectors.map(value).filter(function (v) { return v !== null; }).sort(function (a, b) { return a - b; });
    let low = known[Math.floor(0.02 * (known.length - 1))], high = known[Math.ceil(0.98 * (known.length - 1))];
    if (!(high > low)) { low -= 0.5; high += 0.5; }
    sectors.forEach(function (sector) {
      const v = value(sector);
      sector.setAttribute("class", v === null ? "sector unknown" : "sector");
      if (v === null) sector.removeAttribute("style");
      else sector.setAttribute("style", "fill:" + shades[Math.min(shades.length - 1, Math.max(0, Math.floor((v - low) / (high - low) * shades.length)))]);
      tipOf(sector).textContent = data.cells[sites.cells[+sector.dataset.cell]] + "\nmedian " + withUnit(v, kpi.unit);
    });
    const bars = Array.from(key.querySelectorAll("rect"));
    bars.forEach(function (bar, i) { bar.setAttribute("fill", shades[Math.floor(i / bars.length * shades.length)]); });
    key.querySelectorAll("text").forEach(function (text) { text.remove(); });
    const left = +bars[0].getAttribute("x"), right = +bars[bars.length - 1].getAttribute("x"), y = +bars[0].getAttribute("y") + 22;
    [[left, low, "start"], [(left + right) / 2, (low + high) / 2, "middle"], [right, high, "end"]].forEach(function (one) { key.append(make("text", { "class": "axis", x: one[0], y: y, "text-anchor": one[2] }, short(one[1]))); });
    title.textContent = kpi.name + ", median" + (kpi.unit ? " [" + kpi.unit + "]" : "");
  };
  select.addEventListener("change", colour);
  if (!data.incidents.length && select.options.length > 1) { select.selectedIndex = 1; colour(); }
  figure.addEventListener("click", function (event) {
    const sector = event.target instanceof Element && event.target.closest("path.sector");
    if (sector) location.hash = "#cell=" + data.links[sites.cells[+sector.dataset.cell]];
  });
})();
