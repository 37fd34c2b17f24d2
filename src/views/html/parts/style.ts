/** The report's style sheet: system fonts, an 8-pixel grid, one accent, light and dark by the system or the button. */
const LIGHT = `--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--panel:#f6f8fa;--accent:#0b5cad;color-scheme:light`;
const DARK = `--bg:#0f1419;--fg:#e6e9ec;--soft:#a3adb8;--line:#343d47;--panel:#182028;--accent:#7cb8ff;color-scheme:dark`;

export const STYLE = `
:root{${LIGHT}}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){${DARK}}}
:root[data-theme=dark]{${DARK}}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main,footer{max-width:1080px;margin:0 auto;padding:0 24px}
header{padding-top:32px}
.top{display:flex;gap:16px;justify-content:space-between;align-items:flex-start}
h1{margin:0;font-size:28px;line-height:1.2;overflow-wrap:anywhere}
h2{margin:56px 0 8px;font-size:20px;line-height:1.3}
h3{margin:24px 0 8px;font-size:15px}
p{margin:8px 0;max-width:72ch}
.soft,figcaption,.readout,th,dd,.x,.y{color:var(--soft)}
a{color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
button{font:inherit;color:var(--fg);background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:4px 12px;cursor:pointer}
nav{margin:16px 0 0;display:flex;flex-wrap:wrap;gap:4px 16px}
.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:8px;margin:24px 0 0;padding:0}
.facts div{background:var(--panel);border-radius:8px;padding:8px 16px}
.facts dt{color:var(--soft);font-size:13px}
.facts dd{margin:0;color:var(--fg);font-size:20px;font-variant-numeric:tabular-nums}
.warn{border-left:4px solid var(--accent);padding:8px 16px;background:var(--panel);border-radius:0 8px 8px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:3px 12px 3px 0;text-align:left;vertical-align:top;white-space:nowrap}
th{font-weight:500;font-size:13px;border-bottom:1px solid var(--line)}
tbody th{border:0;font-size:14px;color:var(--fg)}
td.n,th.n{text-align:right}
td.wide{white-space:normal;min-width:180px}
.bar{display:inline-block;width:64px;height:8px;margin-left:8px;background:var(--panel);border-radius:2px;overflow:hidden}
.bar i{display:block;height:100%;background:var(--accent)}
code,.tok{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px}
.tok{background:var(--panel);border-radius:3px;padding:0 3px;margin-right:4px;white-space:pre}
.ctx{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere}
mark{background:none;color:inherit;font-weight:700;text-decoration:underline;text-underline-offset:3px}
.map{display:grid;grid-template-columns:auto 1fr;column-gap:8px;margin:8px 0;max-width:calc(64px + var(--columns)*44px)}
.map .y{display:grid;grid-template-rows:repeat(var(--rows),var(--row));font-size:12px;line-height:var(--row);text-align:right;white-space:nowrap}
.map .y span{overflow:visible;height:0}
.map .cells{position:relative;height:calc(var(--rows)*var(--row));background:repeating-linear-gradient(135deg,var(--panel) 0 4px,var(--line) 4px 5px)}
.map img,.map svg{position:absolute;inset:0;width:100%;height:100%;display:block}
.map img{image-rendering:pixelated}
.map .axis{padding-right:4px;font-size:12px;line-height:18px;text-align:right;color:var(--soft)}
.map .x{position:relative;height:18px;font-size:12px;font-variant-numeric:tabular-nums}
.map .x span{position:absolute;transform:translateX(-50%)}
.readout{grid-column:2;min-height:21px;font-size:13px;display:block}
.map path,.cursor{fill:none;vector-effect:non-scaling-stroke;stroke-linecap:round}
.cross{stroke:var(--fg);stroke-width:1.5}
.dot{stroke:#fff;stroke-width:4}.dot-edge{stroke:#000;stroke-width:6}
.cursor{stroke:var(--fg);stroke-width:2}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr));gap:8px 32px}
.legend{margin:8px 0 16px;font-size:12px;max-width:320px}
.legend>div{position:relative;height:28px;margin:0 24px}
.pair{display:flex;flex-wrap:wrap;gap:16px 64px;margin:16px 0}
.legend .ramp{height:10px;border-radius:2px}
.legend span{position:absolute;top:11px;transform:translateX(-50%);white-space:nowrap;color:var(--soft)}
.strip{line-height:2;margin:8px 0;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px;overflow-wrap:anywhere}
.strip span{padding:0 0 5px;white-space:pre-wrap;box-shadow:inset 0 -5px var(--c)}
.line{width:100%;height:48px;display:block}
.line path{fill:none;stroke:var(--accent);stroke-width:1.5;vector-effect:non-scaling-stroke}
.line line{stroke:var(--line);vector-effect:non-scaling-stroke}
details{margin:8px 0;border:1px solid var(--line);border-radius:8px;padding:0 16px}
summary{cursor:pointer;padding:8px 0}
details[open]{padding-bottom:8px}
dl.terms{display:grid;grid-template-columns:minmax(112px,auto) 1fr;gap:4px 16px}
dl.terms dt{font-weight:500}dl.terms dd{margin:0}
footer{padding:48px 24px 32px;font-size:13px;color:var(--soft)}
@media (max-width:640px){header,main,footer{padding-left:16px;padding-right:16px}h1{font-size:22px}h2{margin-top:40px}
.stack,.stack tbody{display:block}.stack thead{display:none}.stack tr{display:grid;grid-template-columns:auto 1fr;column-gap:12px;padding:8px 0;border-top:1px solid var(--line)}
.stack td.n{text-align:left}.stack td.wide{grid-column:1/-1}
.facts{grid-template-columns:1fr 1fr}dl.terms{grid-template-columns:1fr}dl.terms dd{margin-bottom:8px}.bar{width:40px}}
@media print{:root,:root[data-theme=dark],:root:not([data-theme=light]){${LIGHT}}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body,table,tbody th,.legend,.map .x,.map .y,.map .axis,.strip,.tok,.ctx,code{font-size:10px}th{white-space:normal;font-size:9px}td,th{padding:1px 8px 1px 0}.bar{width:32px;margin:0}nav,button,.readout,details:not([open]){display:none}h2{break-after:avoid;margin-top:24px}.map,.maps>*,tr,.facts,.legend{break-inside:avoid}
.scroll{overflow:visible}main{max-width:none}}
`;
