// Charts to point at instead of the drawings. Data: see plot/interactive.rs.
(() => {
  "use strict";
  // --- colours: a canvas needs them resolved ---
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };

  // --- numbers as the report writes them ---
  const number = (value) => value.toLocaleString("en-US", { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 });
  const duration = (position) => {
    const ns = 10 ** position;
    const [unit, size] = ns < 999.5 ? ["ns", 1] : ns < 999500 ? ["µs", 1e3] : ns < 999.5e6 ? ["ms", 1e6] : ["s", 1e9];
    return `${Number((ns / size).toPrecision(3))} ${unit}`;
  };
  const quantile = (position) => `${Number((100 * (1 - 10 ** -position)).toFixed(Math.max(0, Math.ceil(position) - 1)))} %`;
  const text = { number, duration, quantile };
  const ticksOf = {
    duration(from, to) {
      const factors = to - from > 3.5 ? [1] : to - from > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
      const ticks = [];
      for (let decade = Math.floor(from); decade <= to; decade++) {
        for (const factor of factors) ticks.push(decade + Math.log10(factor));
      }
      return ticks.filter((at) => at >= from && at <= to);
    },
    quantile(from, to) {
      const marks = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999].map((share) => -Math.log10(1 - share));
      return marks.filter((at) => at >= from && at <= to);
    },
  };

  const axis = (data, side) => ({
    scale: side === "x" ? "x" : "y",
    stroke: () => colour("muted"),
    grid: { stroke: () => colour("grid"), width: 1 },
    ticks: { stroke: () => colour("grid"), width: 1 },
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    label: side === "x" ? data.x.label : undefined,
    labelSize: 20,
    size: side === "x" ? 34 : 62,
    space: side === "x" ? 70 : 34,
    values: (_, ticks) => ticks.map(text[data[side].scale]),
    ...(ticksOf[data[side].scale] && { splits: (_, _axis, from, to) => ticksOf[data[side].scale](from, to) }),
  });

  const series = (item, data) => ({
    label: item.name,
    stroke: () => colour(item.colour),
    width: 2,
    // Rows that only other lines have are no gap of this one; within steps a gap means that nothing is known.
    spanGaps: item.look !== "steps",
    paths: item.look === "steps" ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: item.look !== "points" ? { show: false } : {
      show: true,
      size: 8,
      fill: () => colour(item.colour),
      filter: (_, at, show) => (show ? data.xs.map((_, i) => i).filter((i) => item.ys[i] !== null && !data.crosses?.[i]) : null),
    },
  });

  // Names of the trials, shaded ranges behind, vertical lines and crosses of failed trials in front.
  const behind = (data) => (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = colour("band");
    for (const [from, to] of data.bands) {
      const left = plot.valToPos(from, "x", true);
      ctx.fillRect(left, bbox.top, plot.valToPos(to, "x", true) - left, bbox.height);
    }
    ctx.restore();
  };
  const inFront = (data) => (plot) => {
    const { ctx, bbox } = plot;
    const arm = 4 * devicePixelRatio;
    ctx.save();
    ctx.lineWidth = 2 * devicePixelRatio;
    data.series.forEach((item, at) => {
      if (!data.crosses || !plot.series[at + 1].show) return;
      ctx.strokeStyle = colour(item.colour);
      data.xs.forEach((value, row) => {
        if (!data.crosses[row] || item.ys[row] === null) return;
        const [x, y] = [plot.valToPos(value, "x", true), plot.valToPos(item.ys[row], "y", true)];
        ctx.beginPath();
        ctx.moveTo(x - arm, y - arm); ctx.lineTo(x + arm, y + arm);
        ctx.moveTo(x - arm, y + arm); ctx.lineTo(x + arm, y - arm);
        ctx.stroke();
      });
    });
    ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    for (const [from, to, texts, name] of data.heads) {
      const [left, right] = [from, to].map((at) => plot.valToPos(at, "x", true));
      const head = texts.find((text) => ctx.measureText(text).width <= right - left);
      ctx.fillStyle = colour({ green: "good", vermilion: "bad" }[name] ?? "ink");
      if (head && left >= bbox.left - 1 && right <= bbox.left + bbox.width + 1) ctx.fillText(head, (left + right) / 2, bbox.top - 6 * devicePixelRatio);
    }
    for (const mark of data.marks) {
      const x = plot.valToPos(mark.x, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = colour(mark.colour);
      ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
    }
    ctx.restore();
  };

  // What the cursor points at, in words; without one, what the marks are.
  const reading = (data, plot, box) => {
    const at = plot.cursor.idx;
    box.replaceChildren();
    const say = (name, value) => {
      const bold = document.createElement("b");
      bold.textContent = value;
      box.append(box.childNodes.length ? " · " : "", name ? `${name} ` : "", bold);
    };
    if (at == null) {
      box.textContent = [...data.marks.map((mark) => mark.text), data.band && `shaded: ${data.band}`].filter(Boolean).join(" · ");
      return;
    }
    const x = data.xs[at];
    const [, parts, what] = data.regions.findLast(([from]) => x >= from) ?? [0, [], ""];
    const part = parts.find(([end]) => x < end);
    say(data.x.scale === "number" ? data.x.label : "", text[data.x.scale](x));
    if (data.notes?.[at]) say("", data.notes[at]);
    if (part) say("", `${what}: ${part[1]}`);
    data.series.forEach((item, i) => {
      // The end of a step repeats its value, which is not that of what comes after.
      const ends = item.look === "steps" && item.ys[at + 1] == null;
      if (plot.series[i + 1].show && item.ys[at] !== null && !ends) say(item.name, text[data.y.scale](item.ys[at]));
    });
  };

  const element = (tag, className, content) => Object.assign(document.createElement(tag), { className, textContent: content ?? "" });

  const draw = (data, place) => {
    const keys = element("div", "keys");
    const canvas = element("div", "canvas");
    const box = element("p", "reading");
    place.append(element("h3", "", data.title), keys, element("div", "muted small", data.y.label), canvas, box);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${data.title}; arrow keys read the values`);
    box.setAttribute("aria-live", "polite");
    const timed = data.regions.length > 0;
    const plot = new uPlot({
      width: place.clientWidth || 640,
      height: 300,
      legend: { show: false },
      cursor: { y: false, ...(timed && { sync: { key: "time", scales: ["x", null] } }) },
      scales: { x: { time: false, range: (_, from, to) => (from == null ? [data.x.from, data.x.to] : [from, to]) },
        y: { range: () => [data.y.from, data.y.to] } },
      padding: [data.heads.length ? 22 : 8, 12, 0, 0],
      axes: [axis(data, "x"), axis(data, "y")],
      series: [{}, ...data.series.map((item) => series(item, data))],
      hooks: { drawClear: [behind(data)], draw: [inFront(data)], setCursor: [(self) => reading(data, self, box)] },
    }, [data.xs, ...data.series.map((item) => item.ys)], canvas);
    plot.setScale("x", { min: data.x.from, max: data.x.to });
    data.series.forEach((item, at) => {
      const key = element("button", "", item.name);
      key.type = "button";
      key.style.setProperty("--key", `var(--${item.colour})`);
      key.setAttribute("aria-pressed", "true");
      key.addEventListener("click", () => {
        const show = !plot.series[at + 1].show;
        plot.setSeries(at + 1, { show });
        key.setAttribute("aria-pressed", String(show));
      });
      keys.append(key);
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") plot.setScale("x", { min: data.x.from, max: data.x.to });
      if (!step) return;
      event.preventDefault();
      const at = Math.min(Math.max((plot.cursor.idx ?? (step > 0 ? -1 : data.xs.length)) + step, 0), data.xs.length - 1);
      plot.setCursor({ left: plot.valToPos(data.xs[at], "x"), top: 10 }, true, true);
    });
    new ResizeObserver(() => plot.setSize({ width: place.clientWidth || 640, height: 300 })).observe(place);
    reading(data, plot, box);
    addEventListener("nadare:theme", () => plot.redraw(false));
  };

  if (typeof uPlot !== "function") return;
  document.documentElement.classList.add("scripted");
  for (const data of JSON.parse(document.getElementById("charts").textContent)) {
    const place = document.querySelector(`[data-chart="${data.id}"]`);
    if (place) draw(data, place);
  }
})();
