"""How the HTML page looks: on wide and narrow screens, light and dark, and on paper."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --shade: #888a; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
nav a { display: inline-block; margin-right: 1rem; }
code, li, dd, h2 { overflow-wrap: anywhere; }
.files a { margin-right: .8rem; }
.hint { display: none; font-size: .85rem; opacity: .8; margin: .2rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas; }
td.paper, th.paper { opacity: .65; } thead th { background: var(--soft); }
figure { margin: 1.5rem 0; }
figcaption { font-size: .9rem; margin-bottom: .4rem; }
img + figcaption, div + figcaption { margin-top: .4rem; }
img { display: block; width: 100%; min-width: 32rem; height: auto; }
img.plot { background: white; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: .85rem; }
dd { margin: 0; }
ul.trials { font-size: .85rem; }
/* what scrolls has a shade at its right end until it is there */
.wide { overflow-x: auto; background:
  linear-gradient(to left, Canvas 30%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--shade), transparent) right / .8rem 100% no-repeat scroll; }
@media screen and (max-width: 40rem) {
  .hint { display: block; } dl { display: block; } dd { margin-left: 1rem; }
}
@media screen and (prefers-color-scheme: dark) {
  img.plot { filter: invert(.93) hue-rotate(180deg); } /* hues stay; white becomes the ground */
}
@page { size: landscape; margin: 12mm; }
@media print {
  :root { color-scheme: light; }
  body { font-size: 10pt; max-width: none; padding: 0; }
  nav { display: none; }
  .wide { overflow: visible; background: none; }
  table { font-size: 9pt; }
  th, td { position: static !important; white-space: normal; padding: .15rem .35rem; }
  thead { display: table-header-group; } tr, img, figure:has(img) { break-inside: avoid; }
  h2, h3, figcaption { break-after: avoid; }
  img { min-width: 0; max-width: 100%; width: auto; max-height: 150mm; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
}
"""
