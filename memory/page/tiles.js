// What is alive as a map of tiles, areas in proportion to bytes: first the categories, in them the blocks or groups.

const TILES_HEIGHT = 440;
const MOST_TILES = 400;  // in one category; the rest is one tile

/** Places `items`, largest first, in the rectangle so that tiles are nearly squares (Bruls, Huizing, van Wijk 2000). */
function squarify(items, rectangle) {
  let {x, y, w, h} = rectangle;
  let left = items.reduce((sum, item) => sum + item.size, 0);
  const placed = [];
  for (let begin = 0; begin < items.length && left > 0 && w > 0 && h > 0;) {
    const side = Math.min(w, h);
    const scale = (w * h) / left;
    let sum = 0;
    let worst = Infinity;
    let end = begin;
    for (; end < items.length; ++end) {
      const grown = sum + items[end].size;
      const thick = (grown * scale) / side;
      const ratio = (size) => Math.max((size * scale) / thick / thick, (thick * thick) / (size * scale));
      const next = Math.max(ratio(items[begin].size), ratio(items[end].size));
      if (next > worst) break;
      worst = next;
      sum = grown;
    }
    const thick = (sum * scale) / side;
    let at = 0;
    for (let i = begin; i < end; ++i) {
      const long = side * (items[i].size / sum);
      placed.push(
          w >= h ? {item: items[i], x, y: y + at, w: thick, h: long} :
                   {item: items[i], x: x + at, y, w: long, h: thick});
      at += long;
    }
    if (w >= h) {
      x += thick;
      w -= thick;
    } else {
      y += thick;
      h -= thick;
    }
    left -= sum;
    begin = end;
  }
  return placed;
}

class Tiles {
  constructor(page, holder) {
    Object.assign(this, {page, placed: []});
    this.canvas = element('canvas', {id: 'tiles'});
    this.canvas.setAttribute('aria-label', 'What is alive, as areas');
    this.canvas.addEventListener('mousemove', (event) => this.hover(event));
    this.canvas.addEventListener('mouseleave', (event) => showTip(event, null));
    this.canvas.addEventListener('click', (event) => {
      const module = this.at(event)?.item.module;
      if (module) page.look.set({find: module});
    });
    holder.append(this.canvas);
  }

  /** Entries of the table, or groups of it; `by` names what the groups are. */
  draw(entries, by) {
    const {page} = this;
    const width = page.width();
    const context = fit(this.canvas, width, TILES_HEIGHT);
    const categories = new Map();
    for (const entry of entries) {
      if (!categories.has(entry.slot)) categories.set(entry.slot, {slot: entry.slot, size: 0, items: new Map()});
      const category = categories.get(entry.slot);
      category.size += entry.size;
      const name = by === 'category' ? '' : by === 'none' ? entry.block : groupName(entry, by);
      const item = category.items.get(name);
      if (item) {
        item.size += entry.size;
        ++item.count;
      } else
        category.items.set(name, {...entry, count: 1, name: by === 'none' ? placeName(entry) : name});
    }
    const bySize = (a, b) => b.size - a.size;
    this.placed =
        squarify([...categories.values()].sort(bySize), {x: 0, y: 0, w: width, h: TILES_HEIGHT})
            .flatMap(({item, ...rectangle}) => squarify(this.cut([...item.items.values()].sort(bySize)), rectangle));
    for (const tile of this.placed) this.paint(context, tile);
    this.total = this.placed.reduce((sum, {item}) => sum + item.size, 0);
  }

  cut(items) {
    if (items.length <= MOST_TILES) return items;
    const rest = items.slice(MOST_TILES);
    const size = rest.reduce((sum, item) => sum + item.size, 0);
    const count = rest.reduce((sum, item) => sum + item.count, 0);
    const name = `${grouped(rest.length)} smaller ones`;
    // Their sum may be large; a layout begins with the largest.
    return [...items.slice(0, MOST_TILES), {...rest[0], size, count, name, module: ''}].sort((a, b) => b.size - a.size);
  }

  paint(context, {item, x, y, w, h}) {
    const name = this.page.runs[0].names.categories[item.slot];
    context.fillStyle = color(name);
    context.fillRect(x, y, Math.max(0.5, w - 1), Math.max(0.5, h - 1));
    if (w < 48 || h < 16) return;
    context.save();
    context.beginPath();
    context.rect(x, y, w - 3, h - 1);
    context.clip();
    context.fillStyle = color(`on-${name}`);
    context.font = `11px ${color('font')}`;
    context.fillText(item.name || words(name), x + 4, y + 12);
    if (h >= 30) context.fillText(bytesText(item.size), x + 4, y + 26);
    context.restore();
  }

  at(event) {
    const [x, y] = [event.offsetX, event.offsetY];
    return this.placed.find((tile) => x >= tile.x && x < tile.x + tile.w && y >= tile.y && y < tile.y + tile.h);
  }

  hover(event) {
    const item = this.at(event)?.item;
    if (!item) return showTip(event, null);
    const lines = [`${bytesText(item.size)}, ${item.category}`];
    if (item.name) lines.push(item.name);
    if (item.count > 1) lines.push(`${grouped(item.count)} blocks`);
    showTip(event, lines);
  }
}
