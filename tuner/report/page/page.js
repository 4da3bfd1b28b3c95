// Sorting and filtering of the trials, and heat maps of other pairs. The page is readable without it.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const pageRoot = document.body;
  pageRoot.classList.add("js-on");
  const PAGE_ROWS = 100;
  const LONGEST_CELL = 60;
  const LEVELS = 9;
  const MAX_HORIZONTAL_CHARACTERS = 26;
  const SVG = "http://www.w3.org/2000/svg";

  const element = (name, attributes = {}, text = "") => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const drawing = (name, attributes = {}, text = "") => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const brief = (value) => {
    if (Number.isInteger(value)) return String(value);
    const rounded = Number(value.toPrecision(4));
    return Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
  };
  const shown = (value) => (value === null ? "" : typeof value === "number" ? brief(value) : String(value));

  // Trials.

  const table = document.getElementById("table");
  if (table) {
    const columns = data.trials.columns.map((column) =>
      column.values ? { ...column, cells: column.cells.map((position) => column.values[position]) } : column);
    const count = columns[0].cells.length;
    const top = new Set(data.trials.top);
    const headers = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const filter = document.getElementById("filter");
    const more = document.getElementById("more");
    let order = [...Array(count).keys()];
    let limit = PAGE_ROWS;
    let sorted = null;

    const comparison = (term) => {
      const found = /^(.+?)\s*(<=|>=|<|>|=)\s*(.+)$/.exec(term);
      if (!found) return null;
      const column = columns.find((each) => each.name.toLowerCase() === found[1].trim());
      if (!column) return null;
      const wanted = found[3].trim();
      const number = Number(wanted);
      const tests = {
        "<": (cell) => cell < number, ">": (cell) => cell > number,
        "<=": (cell) => cell <= number, ">=": (cell) => cell >= number,
        "=": (cell) => shown(cell).toLowerCase() === wanted || (column.kind === "number" && cell === number),
      };
      return (row) => column.cells[row] !== null && tests[found[2]](column.cells[row]);
    };
    const matching = (term) =>
      comparison(term) || ((row) => columns.some((each) => shown(each.cells[row]).toLowerCase().includes(term)));

    const stateCell = (state) => {
      const cell = element("td");
      const label = element("span", { class: "state" });
      const glyph = drawing("svg", { class: "glyph", viewBox: "-8 -8 16 16", "aria-hidden": "true" });
      glyph.append(drawing("use", { href: `#m-${state}` }));
      label.append(glyph, state);
      cell.append(label);
      return cell;
    };
    const row = (index) => {
      const made = element("tr", top.has(index) ? { class: "top" } : {});
      for (const column of columns) {
        const text = shown(column.cells[index]);
        if (column.kind === "state") {
          made.append(stateCell(text));
        } else {
          const attributes = column.kind === "number" ? { class: "n" } : {};
          if (text.length > LONGEST_CELL) attributes.title = text;
          const short = text.length > LONGEST_CELL ? `${text.slice(0, LONGEST_CELL - 1)}…` : text;
          made.append(element("td", attributes, short));
        }
      }
      return made;
    };
    const show = () => {
      const terms = filter.value.toLowerCase().split(",").map((term) => term.trim()).filter(Boolean).map(matching);
      const left = order.filter((index) => terms.every((matches) => matches(index)));
      body.replaceChildren(...left.slice(0, limit).map(row));
      more.hidden = left.length <= limit;
      document.getElementById("shown").textContent = `${left.length} of ${count} trials`;
    };
    const sort = (number) => {
      const ascending = !(sorted && sorted.number === number && sorted.ascending);
      sorted = { number, ascending };
      const { cells } = columns[number];
      const sign = ascending ? 1 : -1;
      order = [...Array(count).keys()].sort((a, b) => {
        const [one, other] = [cells[a], cells[b]];
        if (one === null || other === null) return (one === null) - (other === null);
        if (typeof one === "number" && typeof other === "number") return sign * (one - other);
        return sign * String(one).localeCompare(String(other), undefined, { numeric: true });
      });
      headers.forEach((header, each) =>
        header.setAttribute("aria-sort", each !== number ? "none" : ascending ? "ascending" : "descending"));
      show();
    };
    headers.forEach((header, number) => {
      header.tabIndex = 0;
      header.addEventListener("click", () => sort(number));
      header.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(number); }
      });
    });
    filter.addEventListener("input", () => { limit = PAGE_ROWS; show(); });
    more.addEventListener("click", () => { limit += PAGE_ROWS; show(); });
    show();
  }

  // Heat maps.

  const choosers = ["heat-x", "heat-y", "heat-of"].map((id) => document.getElementById(id));
  if (choosers.every(Boolean)) {
    const [chooseX, chooseY, chooseOf] = choosers;
    const map = data.cells;
    const cellOf = (axis, trial) => (axis.codes[trial] === "-" ? null : parseInt(axis.codes[trial], 36));
    const cellCount = (axis) => axis.labels.length - (axis.exact ? 0 : 1);
    const cellName = (axis, cell) =>
      axis.exact ? axis.labels[cell] : `${axis.labels[cell]} to ${axis.labels[cell + 1]}`;
    const level = (value) => {
      const share = map.worst === map.best ? 1 : (value - map.worst) / (map.best - map.worst);
      return Math.min(LEVELS - 1, Math.max(0, Math.floor(share * LEVELS)));
    };
    const draw = () => {
      const [x, y] = [map.axes[chooseX.value], map.axes[chooseY.value]];
      const [across, up] = [cellCount(x), cellCount(y)];
      const cells = new Map();
      map.values.forEach((value, trial) => {
        const [i, j] = [cellOf(x, trial), cellOf(y, trial)];
        if (i === null || j === null) return;
        const cell = cells.get(i + j * across) || { i, j, values: [] };
        cell.values.push(value);
        cells.set(i + j * across, cell);
      });
      const chart = document.querySelector("#heat .chart");
      const parts = [];
      const [width, height] = [100 / across, 100 / up];
      for (const { i, j, values } of cells.values()) {
        const best = values.reduce((a, b) => (map.max ? Math.max(a, b) : Math.min(a, b)));
        const value = chooseOf.value === "best" ? best : values.reduce((a, b) => a + b) / values.length;
        const cell = drawing("rect", {
          class: `q${level(value)}`, x: `${i * width}%`, y: `${(up - 1 - j) * height}%`,
          width: `${width}%`, height: `${height}%`,
        });
        const trials = `${values.length} trial${values.length === 1 ? "" : "s"}`;
        const name = `${x.name} ${cellName(x, i)}, ${y.name} ${cellName(y, j)}: ${brief(value)}, ${trials}`;
        cell.append(drawing("title", {}, name));
        parts.push(cell);
        if (across <= 6 && up <= 12) {
          parts.push(drawing("text", {
            class: `t${level(value)}`, x: `${(i + 0.5) * width}%`, y: `${(up - j - 0.5) * height}%`, dy: 4,
          }, String(Number(value.toPrecision(3)))));
        }
      }
      const isShown = (axis, number) => axis.exact || number % 2 === 0;
      const isSlanted = x.labels.filter((_, number) => isShown(x, number)).join("").length > MAX_HORIZONTAL_CHARACTERS;
      x.labels.forEach((label, number) => isShown(x, number) && parts.push(drawing("text", {
        class: isSlanted ? "x slanted" : "x", x: `${(number + (x.exact ? 0.5 : 0)) * width}%`, y: "100%", dy: 16,
      }, label)));
      y.labels.forEach((label, number) => isShown(y, number) && parts.push(drawing("text", {
        class: "y", x: "0%", y: `${(up - number - (y.exact ? 0.5 : 0)) * height}%`, dx: -7, dy: 4,
      }, label)));
      chart.replaceChildren(...parts);
      chart.setAttribute("aria-label", `${y.name} against ${x.name}`);
      const heat = document.getElementById("heat");
      heat.classList.toggle("steep", isSlanted);
      heat.querySelector(".xname").textContent = x.name;
      heat.querySelector(".yname").textContent = y.name;
      heat.querySelector(".area").style.height = `${Math.min(420, Math.max(160, 34 * up))}px`;
    };
    choosers.forEach((chooser) => chooser.addEventListener("change", draw));
  }
})();
