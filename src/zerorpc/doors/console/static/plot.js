/** Numbers over their place in a stream, by uPlot. It is loaded with the first plot. */

import { clock, html, useEffect, useRef } from "./ui.js";

const COLOURS = ["--accent", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6", "--line-7", "--line-8"];

/**
 * @param {object} props
 * @param {{name: string, numbers: (number | null)[]}[]} props.lines
 * @param {number} [props.first] the place of the first number
 * @param {number[]} [props.times] seconds since 1970, if it is over time
 * @param {number} [props.height] px
 * @param {string} props.label
 */
export function Plot({ lines, first = 0, times, height = 260, label }) {
  const box = useRef(null);
  const plot = useRef(null);
  const names = lines.map((line) => line.name).join("\n");
  const xs = times ?? lines[0].numbers.map((_, place) => first + place);
  const data = [xs, ...lines.map((line) => line.numbers)];
  const newest = useRef(data);
  newest.current = data;

  useEffect(() => {
    let ended = false;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const make = async () => {
      const { default: UPlot } = await import("./vendor/uPlot.js");
      if (ended || !box.current) return;
      plot.current?.destroy();
      plot.current = new UPlot(options(box.current, lines, Boolean(times), height), newest.current, box.current);
      showLast(plot.current);
    };
    const sized = new ResizeObserver(([{ contentRect }]) => plot.current?.setSize({ width: contentRect.width, height }));
    sized.observe(box.current);
    dark.addEventListener("change", make);
    make();
    return () => {
      ended = true;
      sized.disconnect();
      dark.removeEventListener("change", make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, height]);

  useEffect(() => {
    plot.current?.setData(data);
    showLast(plot.current);
  });

  return html`<div class="plot" ref=${box} role="img" aria-label=${`${label}: ${told(lines)}`}></div>`;
}

/** The newest numbers in the legend, unless the mouse points to others. @param {any} plot */
function showLast(plot) {
  if (plot && plot.cursor.idx === null) plot.setLegend({ idx: plot.data[0].length - 1 });
}

/** In words, for who can't see it. @param {{name: string, numbers: (number | null)[]}[]} lines */
function told(lines) {
  return lines.map(({ name, numbers }) => `${name} ${numbers.length} numbers, the last ${numbers.at(-1)}`).join("; ");
}

/** @param {HTMLElement} box @param {any[]} lines @param {boolean} isTime @param {number} height */
function options(box, lines, isTime, height) {
  const style = getComputedStyle(box);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--dim"), grid: { stroke: colour("--edge"), width: 1 }, ticks: { stroke: colour("--edge"), width: 1 } };
  const series = lines.map(({ name }, place) => ({
    label: name || "value",
    stroke: colour(COLOURS[place % COLOURS.length]),
    width: 1.5,
    points: { show: false },
  }));
  const timeAxis = { space: 90, incrs: [1, 5, 10, 15, 30, 60], values: (_, times) => times.map(clock) };
  const fromZero = { range: (_, low, high) => [Math.min(low, 0), Math.max(high * 1.1, 1)] };
  return {
    width: box.clientWidth,
    height,
    scales: { x: { time: isTime }, y: isTime ? fromZero : {} },
    axes: [{ ...axis, ...(isTime && timeAxis) }, { ...axis, size: 64 }],
    series: [isTime ? { label: "time", value: (_, time) => (time ? clock(time) : "–") } : { label: "item" }, ...series],
    legend: { show: lines.length > 1 || lines[0].name !== "" },
    cursor: { y: false },
  };
}
