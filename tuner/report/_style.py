"""The style sheet of the page, for light and dark displays and for narrow ones."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1b1f24; --soft: #5c6570;
  --rule: #dfe3e8;
  --best: #0b62d6; --other: #8a94a1; --completed: #1a7f4b; --stopped: #8a94a1; --failed: #c8342b;
  --running: #0b62d6; --pending: #b07a00; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1c2026; --ink: #e8eaed;
  --soft: #9aa4b0;
  --rule: #323840; --best: #6cb0ff; --other: #77818e; --completed: #5cc98c; --stopped: #77818e;
  --failed: #ff7b70;
  --running: #6cb0ff; --pending: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 28px 24px 60px; background: var(--paper);
  color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 40px 0 10px; }
p { margin: 4px 0; } .soft, figcaption { color: var(--soft); font-size: 13px; }
.head { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 16px;
  margin-top: 18px; }
.card { background: var(--card); border-radius: 10px; padding: 16px 18px; min-width: 0; }
.big { font-size: 34px; font-weight: 650; line-height: 1.2; color: var(--best); overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 16px; margin: 8px 0 0; }
dt { color: var(--soft); overflow-wrap: anywhere; } dd { margin: 0; overflow-wrap: anywhere; }
dl.config { grid-template-columns: minmax(0, max-content) minmax(0, 1fr); }
dl.config dd, td, pre { font-variant-numeric: tabular-nums; }
.state::before { content: ""; display: inline-block; width: 9px; height: 9px; border-radius: 50%;
  margin-right: 7px;
  background: currentColor; }
.state { white-space: nowrap; }
.completed { color: var(--completed); } .stopped { color: var(--stopped); }
.running { color: var(--running); }
.pending, .paused { color: var(--pending); } .state.failed { color: var(--failed); }
.state > span { color: var(--ink); }
figure { margin: 0; min-width: 0; } svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; } .wide text { font-size: 11px; }
svg .label { fill: var(--ink); }
.grid { stroke: var(--rule); stroke-width: 1; } .axis { stroke: var(--soft); stroke-width: 1; }
polyline, path { fill: none; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
polyline.other { stroke: var(--other); stroke-width: 1.1; stroke-opacity: var(--dim, .55); }
polyline.best { stroke: var(--best); stroke-width: 2.6; }
.failed { stroke: var(--failed); stroke-width: 1.4; } polyline.failed { stroke-dasharray: 4 3;
  stroke-opacity: .75; }
.dot.other { fill: var(--other); fill-opacity: .7; } .dot.best { fill: var(--best); stroke: var(--paper);
  stroke-width: 1; }
.many { --dim: .22; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 4px; font-size: 13px;
  color: var(--soft); }
.key i { display: inline-block; width: 22px; border-top: 2px solid var(--other); margin-right: 6px;
  vertical-align: middle; }
.key .b { border-top: 3px solid var(--best); } .key .f { border-top: 2px dashed var(--failed); }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr));
  gap: 18px 20px; }
.scroll { overflow: auto; max-height: 620px; border: 1px solid var(--rule); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { padding: 5px 12px; text-align: left; white-space: nowrap; } td.n, th.n { text-align: right; }
th { position: sticky; top: 0; background: var(--card); color: var(--soft); font-weight: 600; }
tr + tr td { border-top: 1px solid var(--rule); } tr.top td { font-weight: 650; }
details { border: 1px solid var(--rule); border-radius: 8px; margin: 8px 0; padding: 8px 14px; }
summary { cursor: pointer; overflow-wrap: anywhere; }
pre { overflow: auto; max-height: 480px; font-size: 12.5px; line-height: 1.45; margin: 8px 0 4px; }
@media (max-width: 560px) { body { padding: 18px 14px 40px; } svg text { font-size: 14px; }
  .wide { overflow-x: auto; } .wide svg { min-width: 640px; } .wide text { font-size: 14px; }
  .small svg text { font-size: 12px; } }
"""
