// A flame graph from `perf script`, as SVG without scripts: benches/flame.mjs TITLE <samples >graph.svg
//   perf record -F 999 --call-graph dwarf,16384 -p PID sleep 2
//   perf script --no-inline -F comm,ip,sym | node benches/flame.mjs 'reads, SQLite' >docs/profiles/reads.svg
// Frames narrower than a three-hundredth of the whole are left out.
import { readFileSync } from 'node:fs';

const width = 1200, row = 16, least = width / 300;
const root = { name: 'all', count: 0, parts: new Map() };
for (const sample of readFileSync(0, 'utf8').split('\n\n')) {
  const [thread, ...frames] = sample.split('\n').filter(Boolean);
  if (!frames.length) continue;
  const names = frames.map((frame) => frame.trim().replace(/^[0-9a-f]+ /, '').replace(/\+0x[0-9a-f]+.*$/, ''));
  let at = root;
  at.count += 1;
  for (const name of [thread.trim(), ...names.reverse()]) {
    if (name === '[unknown]' || /^<?(core|std)::(ops|sys|panic|thread)|__rust|^start_thread$|^clone3$|\{\{vtable/.test(name)) continue;
    if (!at.parts.has(name)) at.parts.set(name, { name, count: 0, parts: new Map() });
    at = at.parts.get(name);
    at.count += 1;
  }
}

const text = (value) => value.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const colour = (name) => {
  if (/sqlx|sea_orm|flume/.test(name)) return '#e8a0a0';
  if (/sqlite|btree|Btree|wal|pager|Pager|vdbe|rusqlite/i.test(name)) return '#e8c890';
  if (/tracing|observe|metrics/.test(name)) return '#b0d8a0';
  if (/candor/.test(name)) return '#a0c4e8';
  if (/axum|hyper|tower|http/.test(name)) return '#c8b8e8';
  return '#d8d8d8';
};
const boxes = [];
let deepest = 0;
const draw = (node, x, depth) => {
  const span = (node.count / root.count) * width;
  if (span < least) return;
  deepest = Math.max(deepest, depth);
  const share = `${((100 * node.count) / root.count).toFixed(1)} %`;
  const fits = Math.floor((span - 4) / 6.2);
  const label = fits < 3 ? '' : node.name.length <= fits ? node.name : `${node.name.slice(0, fits - 1)}…`;
  boxes.push({ x, depth, span, title: `${node.name}, ${share}`, label, fill: colour(node.name) });
  let from = x;
  for (const part of [...node.parts.values()].sort((a, b) => b.count - a.count)) {
    draw(part, from, depth + 1);
    from += (part.count / root.count) * width;
  }
};
draw(root, 0, 0);
const height = (deepest + 2) * row + 8;
const out = [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="10">`,
  `<text x="4" y="12">${text(process.argv[2] ?? '')}: ${root.count} samples</text>`];
for (const { x, depth, span, title, label, fill } of boxes) {
  const y = height - (depth + 1) * row;
  out.push(`<g><title>${text(title)}</title><rect x="${x.toFixed(1)}" y="${y}" width="${span.toFixed(1)}" height="${row - 1}" fill="${fill}"/>`
    + `<text x="${(x + 2).toFixed(1)}" y="${y + 11}">${text(label)}</text></g>`);
}
out.push('</svg>', '');
process.stdout.write(out.join('\n'));
