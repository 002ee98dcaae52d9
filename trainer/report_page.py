"""How the report's page looks: no script, nothing from elsewhere, light or dark as the reader has set."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p>{about}</p></header>
<main>{body}</main>
</body>
</html>
"""

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#5b6470;--line:#dfe3e8;--tile:#f4f6f8;
--warn:#b35900;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e6e8eb;--soft:#9aa3ad;--line:#2c3238;
--tile:#1e2329;--warn:#f0a050;--bad:#f2877f}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px;max-width:1080px;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{margin:0;font-size:26px}
h2{margin:36px 0 12px;font-size:19px;border-bottom:1px solid var(--line);padding-bottom:4px}
h3{margin:18px 0 6px;font-size:15px}
header p,small,figcaption small{color:var(--soft)}
img{max-width:100%;background:#fff;border-radius:4px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px}
.tile{background:var(--tile);border-radius:8px;padding:10px 12px;display:flex;flex-direction:column}
.tile span{color:var(--soft);font-size:13px}.tile b{font-size:22px}
.pair{display:flex;flex-wrap:wrap;gap:12px}.pair img{flex:1 1 400px;min-width:0;max-width:520px}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:5px 14px 5px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{color:var(--soft);font-weight:500}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:14px}
figure{margin:0}figure img{width:100%;image-rendering:pixelated}
figcaption{font-size:13px;overflow-wrap:anywhere}
.error,.warning,.info{margin:8px 0;padding:6px 10px;border-left:4px solid var(--line);background:var(--tile)}
.warning{border-color:var(--warn)}.error{border-color:var(--bad)}
pre{overflow-x:auto;background:var(--tile);padding:12px;border-radius:8px;font-size:12px}
summary{cursor:pointer;color:var(--soft)}
"""
