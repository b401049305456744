'use strict';
(() => {
  const R = JSON.parse(document.getElementById('data').textContent);
  const $ = (id) => document.getElementById(id);
  const NS = document.querySelector('.brand svg').namespaceURI;

  // ---- elements; text goes in as text, never as markup ----
  const fill = (el, attrs, kids) => {
    for (const [k, v] of Object.entries(attrs || {})) {
      if (v === undefined || v === null || v === false) continue;
      if (k === 'text') el.textContent = v;
      else if (k === 'style') for (const [p, x] of Object.entries(v)) el.style.setProperty(p, x);
      else if (k.startsWith('on')) el.addEventListener(k.slice(2), v);
      else el.setAttribute(k, v);
    }
    for (const kid of kids.flat(Infinity)) if (kid !== null && kid !== undefined) el.append(kid);
    return el;
  };
  const h = (tag, attrs, ...kids) => fill(document.createElement(tag), attrs, kids);
  const s = (tag, attrs, ...kids) => fill(document.createElementNS(NS, tag), attrs, kids);
  const empty = (el) => { el.replaceChildren(); return el; };

  // ---- numbers ----
  const three = (x) => x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
  const scaled = (x, base, units) => {
    let i = 0;
    while (x >= base && i + 1 < units.length) { x /= base; i++; }
    return i === 0 ? `${x} ${units[0]}`.trim() : `${three(x)} ${units[i]}`;
  };
  const bytes = (x) => scaled(x, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
  const count = (x) => scaled(x, 1000, ['', 'k', 'M', 'G', 'T']);
  const flops = (x) => scaled(x, 1000, ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP']);
  const millis = (x) => x >= 1000 ? `${three(x / 1000)} s` : x >= 1 ? `${three(x)} ms` : `${Math.round(x * 1000)} µs`;
  const percent = (x) => `${(100 * x).toFixed(x < 0.1 ? 1 : 0)}%`;
  const plural = (n, word) => `${n.toLocaleString('en')} ${word}${n === 1 ? '' : /(s|sh|ch)$/.test(word) ? 'es' : 's'}`;
  const color = (kind) => `var(--k-${kind})`;
  const KINDS = [['matrix', 'conv, matmul'], ['element', 'element-wise'], ['norm', 'normalize'], ['reduce', 'pool, reduce'], ['move', 'move data'], ['recurrent', 'recurrent'], ['port', 'input, output']];
  const lost = (n, what) => n > 0 ? ` The ${plural(n, what)} after these are left out of this page.` : '';

  // ---- tooltip ----
  const tip = $('tip');
  const showTip = (x, y, title, lines) => {
    empty(tip).append(h('b', { text: title }), lines.join('\n'));
    tip.hidden = false;
    const r = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(6, Math.min(x + 14, innerWidth - r.width - 8))}px`;
    tip.style.top = `${Math.max(6, y + 18 + r.height > innerHeight ? y - r.height - 10 : y + 18)}px`;
  };
  const hideTip = () => { tip.hidden = true; };
  addEventListener('keydown', (e) => { if (e.key === 'Escape') hideTip(); });

  let variant = R.variants[0];
  const segments = (box, items, isOn, choose) => {
    const draw = () => empty(box).append(...items.map(([key, label]) =>
      h('button', { type: 'button', 'aria-pressed': String(isOn(key)), text: label, onclick: () => { choose(key); draw(); box.querySelector('[aria-pressed=true]').focus(); } })));
    draw();
  };

  // ---- summary ----
  const before = R.graph_before.nodes.length + R.graph_before.nodes_left_out;
  const after = R.graph_after.nodes.length + R.graph_after.nodes_left_out;
  const drawSummary = () => {
    const total = R.stages.reduce((sum, x) => sum + x.millis, 0);
    const card = (k, v, n) => h('div', { class: 'card' }, h('div', { class: 'k', text: k }), h('div', { class: 'v' }, v), h('div', { class: 'n' }, n));
    const small = (text) => h('small', { text });
    const cards = [card('Graph nodes', [`${before.toLocaleString('en')} `, small('→ '), after.toLocaleString('en')], before > after && after > 0 ? [h('b', { text: `${percent(1 - after / before)} fewer` }), ' after fusion'] : 'before → after fusion')];
    if (variant) {
      const m = variant.memory;
      const n = variant.dispatches.length + variant.dispatches_left_out;
      const work = variant.dispatches.reduce((sum, d) => sum + d.flops, 0);
      cards.push(card('Dispatches', n.toLocaleString('en'), `${flops(work)} per run`));
      cards.push(card('Arena', bytes(m.planned_bytes), m.lower_bound_bytes > 0 ? [h('b', { text: m.naive_bytes > 0 ? `${percent(m.planned_bytes / m.naive_bytes)} of naive` : '' }), `, ${(m.planned_bytes / m.lower_bound_bytes).toFixed(3)} × lower bound`] : 'nothing to plan'));
    }
    cards.push(card('Weights', bytes(R.weight_bytes), R.model.parameters > 0 ? `${count(R.model.parameters)} parameters` : plural(R.weights.length, 'tensor')));
    if (R.bundle_bytes > 0) cards.push(card('Bundle', bytes(R.bundle_bytes), plural(R.variants.length, 'target')));
    cards.push(card('Compile time', millis(total), plural(R.stages.length, 'stage')));
    empty($('cards')).append(...cards);
  };
  $('model').textContent = R.model.name || 'Drift report';
  const drawSubtitle = () => { $('subtitle').textContent = [R.model.source, variant && `${variant.target} (${[variant.api, variant.precision].filter(Boolean).join(', ')})`].filter(Boolean).join(' · '); };
  const chip = (kind, name, rest) => h('span', { class: 'chip', title: `${name} ${rest}` }, h('i', { text: kind }), h('b', { text: name }), ` ${rest}`);
  $('ports').append(
    ...R.model.inputs.map((p) => chip('in', p.name, `${p.dtype} ${p.shape}`)),
    ...R.model.outputs.map((p) => chip('out', p.name, `${p.dtype} ${p.shape}`)),
    ...R.model.notes.map(([k, v]) => chip(k, v, '')));
  $('foot').textContent = `Written by ${R.generator || 'Drift'}. One file, no network: keep it, mail it, diff it.`;

  // ---- stages ----
  (() => {
    const total = R.stages.reduce((sum, x) => sum + x.millis, 0) || 1;
    const hues = ['matrix', 'element', 'norm', 'reduce', 'move', 'recurrent', 'port'];
    R.stages.forEach((x, i) => {
      const share = x.millis / total;
      $('stagebar').append(h('span', { style: { background: color(hues[i % hues.length]), 'flex-grow': String(Math.max(share, 0.001)), 'flex-basis': '0' }, text: share > 0.07 ? x.name : '', onmousemove: (e) => showTip(e.clientX, e.clientY, x.name, [`${millis(x.millis)}, ${percent(share)} of the time`]), onmouseleave: hideTip }));
      const previous = i > 0 ? R.stages[i - 1].nodes : x.nodes;
      const change = x.nodes - previous;
      $('stagetable').tBodies[0].append(h('tr', null,
        h('td', { title: x.description }, h('span', { class: 'dot', style: { '--c': color(hues[i % hues.length]) } }), h('b', { text: x.name }), h('div', { class: 'muted', text: x.description })),
        h('td', { class: 'num', text: millis(x.millis) }),
        h('td', { class: 'num' }, x.nodes.toLocaleString('en'), change !== 0 ? h('span', { class: 'muted', text: ` (${change > 0 ? '+' : '−'}${Math.abs(change)})` }) : null),
        h('td', { text: x.note })));
    });
  })();

  // ---- graph ----
  const graph = (() => {
    const canvas = $('canvas');
    const views = { before: R.graph_before, after: R.graph_after };
    let which = after > 0 ? 'after' : 'before';
    let g, svg, world, near, groups, ins, outs, chosen = -1, at = { x: 0, y: 0, k: 1 };
    const path = (e) => {
      let d = `M${e[2]} ${e[3]}`;
      for (let i = 4; i < e.length; i += 2) {
        const [x0, y0, x1, y1] = [e[i - 2], e[i - 1], e[i], e[i + 1]];
        // Along the gutters edges are straight; from row to row they bend.
        if (x0 === x1 || y0 === y1) d += `L${x1} ${y1}`;
        else { const m = (y0 + y1) / 2; d += `C${x0} ${m} ${x1} ${m} ${x1} ${y1}`; }
      }
      return d;
    };
    const fitText = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
    const apply = () => {
      world.setAttribute('transform', `translate(${at.x} ${at.y}) scale(${at.k})`);
      canvas.classList.toggle('far', at.k < 0.42);
    };
    const size = () => [canvas.clientWidth || 800, canvas.clientHeight || 600];
    const fit = () => {
      const [w, hh] = size();
      at.k = Math.min(1.15, (w - 30) / Math.max(g.width, 1), (hh - 30) / Math.max(g.height, 1));
      at.x = (w - g.width * at.k) / 2; at.y = (hh - g.height * at.k) / 2;
      apply();
    };
    const zoom = (factor, cx, cy) => {
      const k = Math.min(4, Math.max(0.02, at.k * factor));
      at.x = cx - (cx - at.x) * k / at.k; at.y = cy - (cy - at.y) * k / at.k; at.k = k;
      apply();
    };
    const middle = (factor) => { const [w, hh] = size(); zoom(factor, w / 2, hh / 2); };
    const show = (i) => {
      const [w, hh] = size(), n = g.nodes[i];
      if (at.k < 0.6) at.k = 0.9;
      at.x = w / 2 - n.x * at.k; at.y = hh / 2 - n.y * at.k; apply();
    };
    const choose = (i, move) => {
      if (chosen >= 0 && groups[chosen]) groups[chosen].classList.remove('on');
      chosen = i;
      const pane = empty($('details'));
      if (i < 0) {
        near.setAttribute('d', '');
        pane.append(h('p', { class: 'muted', text: g.nodes.length ? 'Choose a node to see its operands, results and attributes.' : 'No graph.' }));
        return;
      }
      const n = g.nodes[i];
      groups[i].classList.add('on');
      near.setAttribute('d', g.edges.filter((e) => e[0] === i || e[1] === i).map(path).join(''));
      const to = (j) => h('button', { type: 'button', class: 'to', onclick: () => choose(j, true) }, h('span', { class: 'dot', style: { '--c': color(g.nodes[j].kind) } }), g.nodes[j].label);
      fill(pane, null, [h('h3', { text: n.label }), h('span', { class: 'chip' }, h('span', { class: 'dot', style: { '--c': color(n.kind) } }), n.op),
        h('dl', null, [['shape', n.shape], ['bytes', n.bytes ? bytes(n.bytes) : ''], ...n.detail].filter(([, v]) => v !== '').map(([k, v]) => [h('dt', { text: k }), h('dd', { text: v })])),
        ins[i].length ? h('h4', { text: `Reads ${ins[i].length}` }) : null, ins[i].slice(0, 40).map(to),
        outs[i].length ? h('h4', { text: `Read by ${outs[i].length}` }) : null, outs[i].slice(0, 40).map(to)]);
      if (move) show(i);
    };
    const draw = () => {
      g = views[which];
      chosen = -1;
      ins = g.nodes.map(() => []); outs = g.nodes.map(() => []);
      for (const e of g.edges) { ins[e[1]].push(e[0]); outs[e[0]].push(e[1]); }
      near = s('path', { class: 'near' });
      const w = g.node_width, t = g.node_height;
      groups = g.nodes.map((n, i) => s('g', { class: 'node', transform: `translate(${n.x - w / 2} ${n.y - t / 2})`, style: { '--c': color(n.kind) }, 'data-i': i },
        s('rect', { width: w, height: t, rx: 6 }), s('rect', { class: 'wash', width: w, height: t, rx: 6 }), s('rect', { class: 'stripe', width: 5, height: t, rx: 2 }),
        s('text', { x: 13, y: 16, text: fitText(n.label, 22) }), s('text', { class: 's', x: 13, y: 30, text: fitText(n.label.toLowerCase().startsWith(n.op.toLowerCase()) && n.shape ? n.shape : `${n.op}  ${n.shape}`, 24) })));
      world = s('g', null, s('path', { class: 'links', d: g.edges.map(path).join('') }), near, groups);
      svg = s('svg', { 'aria-hidden': 'true' }, world);
      empty(canvas).append(svg);
      choose(-1);
      find();
      fit();
    };
    const find = () => {
      const words = $('graphfind').value.toLowerCase().split(/\s+/).filter(Boolean);
      const hit = (n) => { const t = `${n.label} ${n.op} ${n.shape}`.toLowerCase(); return words.every((x) => t.includes(x)); };
      const hits = [];
      g.nodes.forEach((n, i) => { const on = !words.length || hit(n); groups[i].classList.toggle('dim', !on); if (on && words.length) hits.push(i); });
      $('graphhits').textContent = words.length ? `${plural(hits.length, 'match')}` : (g.nodes_left_out ? `${plural(g.nodes_left_out, 'node')} not drawn` : '');
      return hits;
    };
    $('graphfind').addEventListener('input', find);
    $('graphfind').addEventListener('keydown', (e) => {
      if (e.key !== 'Enter') return;
      const hits = find();
      if (hits.length) choose(hits[(hits.indexOf(chosen) + 1) % hits.length], true);
    });
    $('zoomin').onclick = () => middle(1.35); $('zoomout').onclick = () => middle(1 / 1.35); $('zoomfit').onclick = fit;
    let grab = null;
    canvas.addEventListener('pointerdown', (e) => { grab = { x: e.clientX, y: e.clientY, ox: at.x, oy: at.y, far: false, node: e.target.closest('g.node') }; canvas.setPointerCapture(e.pointerId); });
    canvas.addEventListener('pointermove', (e) => {
      if (grab) {
        if (Math.abs(e.clientX - grab.x) + Math.abs(e.clientY - grab.y) > 4) grab.far = true;
        if (grab.far) { canvas.classList.add('drag'); at.x = grab.ox + e.clientX - grab.x; at.y = grab.oy + e.clientY - grab.y; apply(); hideTip(); }
        return;
      }
      const node = e.target.closest('g.node');
      if (!node) { hideTip(); return; }
      const n = g.nodes[Number(node.dataset.i)];
      showTip(e.clientX, e.clientY, n.label, [n.op, n.shape, n.bytes ? bytes(n.bytes) : ''].filter(Boolean));
    });
    canvas.addEventListener('pointerleave', hideTip);
    const drop = () => { if (grab && !grab.far) choose(grab.node ? Number(grab.node.dataset.i) : -1); grab = null; canvas.classList.remove('drag'); };
    canvas.addEventListener('pointerup', drop);
    canvas.addEventListener('pointercancel', () => { grab = null; canvas.classList.remove('drag'); });
    canvas.addEventListener('wheel', (e) => {
      if (document.activeElement !== canvas && !e.ctrlKey) return;
      e.preventDefault();
      const r = canvas.getBoundingClientRect();
      zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0016)), e.clientX - r.left, e.clientY - r.top);
    }, { passive: false });
    canvas.addEventListener('keydown', (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      const pan = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[e.key];
      if (pan) { at.x += pan[0]; at.y += pan[1]; apply(); }
      else if (e.key === '+' || e.key === '=') middle(1.25);
      else if (e.key === '-') middle(0.8);
      else if (e.key === '0') fit();
      else if (e.key === '.' && g.nodes.length) choose((chosen + 1) % g.nodes.length, true);
      else if (e.key === ',' && g.nodes.length) choose((chosen + g.nodes.length) % (g.nodes.length + 1) % g.nodes.length, true);
      else if (e.key === 'Escape') choose(-1);
      else return;
      e.preventDefault();
    });
    segments($('graphwhich'), [['before', `Before fusion (${before.toLocaleString('en')})`], ['after', `After (${after.toLocaleString('en')})`]], (k) => k === which, (k) => { which = k; draw(); });
    $('legend').append(...KINDS.map(([k, label]) => h('span', null, h('span', { class: 'dot', style: { '--c': color(k) } }), label)));
    draw();
    return { fit };
  })();

  // ---- memory ----
  const memory = (() => {
    const chart = $('memorychart');
    let order = [], chosen = -1, rects = [];
    const describe = (r) => [bytes(r.bytes), `steps ${r.first_step} to ${r.last_step}`, `offset ${bytes(r.offset)} (${r.offset.toLocaleString('en')})`, r.op].filter(Boolean);
    const stepName = (i) => { const d = variant && variant.dispatches[i]; return d ? `${i}: ${d.label}` : String(i); };
    const niceStep = (max, ticks, base) => { const raw = max / ticks || 1; let step = base ** Math.floor(Math.log(raw) / Math.log(base)); for (const m of base === 2 ? [1, 2] : [1, 2, 5, 10]) if (step * m >= raw) return Math.max(1, step * m); return Math.max(1, step * base); };
    const draw = () => {
      empty(chart); empty($('memorybars')); rects = []; chosen = -1;
      const m = variant && variant.memory;
      if (!m || !m.records.length) { $('memorylead').textContent = 'No intermediate tensors.'; return; }
      $('memorylead').textContent = `${plural(m.records.length + m.records_left_out, 'tensor')} over ${plural(m.steps, 'step')}, strategy ${m.strategy}.${lost(m.records_left_out, 'tensor')}`;
      const top = Math.max(m.naive_bytes, m.planned_bytes, 1);
      for (const [label, value, c, note] of [['No reuse', m.naive_bytes, 'var(--k-port)', ''], ['Planned', m.planned_bytes, 'var(--accent)', m.naive_bytes ? ` · ${percent(m.planned_bytes / m.naive_bytes)}` : ''], ['Lower bound', m.lower_bound_bytes, 'var(--warn)', m.lower_bound_bytes ? ` · planned is ${(m.planned_bytes / m.lower_bound_bytes).toFixed(3)} ×` : '']])
        $('memorybars').append(h('span', { text: label }), h('span', { class: 'track' }, h('i', { style: { width: `${100 * value / top}%`, background: c } })), h('span', { text: bytes(value) + note }));
      const W = chart.clientWidth || 900, H = chart.clientHeight || 460, L = 74, Rm = 14, T = 22, B = 30;
      const steps = Math.max(m.steps, ...m.records.map((r) => r.last_step + 1), 1);
      const high = Math.max(m.planned_bytes, m.lower_bound_bytes, 1) * 1.04;
      chart.classList.toggle('dense', (W - L - Rm) / steps < 7);
      const x = (step) => L + (W - L - Rm) * step / steps;
      const y = (b) => H - B - (H - B - T) * b / high;
      const svg = s('svg', { viewBox: `0 0 ${W} ${H}`, 'aria-hidden': 'true' });
      const dy = niceStep(high, 6, 2);
      for (let b = 0; b <= high; b += dy) svg.append(s('line', { class: 'grid', x1: L, x2: W - Rm, y1: y(b), y2: y(b) }), s('text', { x: L - 8, y: y(b) + 4, 'text-anchor': 'end', text: bytes(b) }));
      const dx = niceStep(steps, Math.min(12, W / 90), 10);
      for (let i = 0; i < steps; i += dx) svg.append(s('text', { x: x(i), y: H - 10, text: String(i) }), s('line', { class: 'grid', x1: x(i), x2: x(i), y1: T, y2: H - B }));
      svg.append(s('text', { x: W - Rm, y: H - 10, 'text-anchor': 'end', text: 'step' }));
      order = m.records.map((_, i) => i).filter((i) => m.records[i].bytes > 0).sort((a, b) => m.records[a].first_step - m.records[b].first_step || m.records[a].offset - m.records[b].offset);
      order.forEach((i, k) => {
        const r = m.records[i], x0 = x(r.first_step), x1 = x(r.last_step + 1), y0 = y(r.offset + r.bytes), y1 = y(r.offset);
        const rect = s('rect', { class: 'rec', x: x0 + 0.5, y: y0, width: Math.max(1, x1 - x0 - 1), height: Math.max(1, y1 - y0), rx: 2, style: { '--c': color(r.kind) }, onmousemove: (e) => { showTip(e.clientX, e.clientY, r.name, [...describe(r), `under the pointer: step ${stepName(Math.floor((e.clientX - chart.getBoundingClientRect().left - L) / (W - L - Rm) * steps))}`]); }, onmouseleave: hideTip, onclick: () => choose(k, false) });
        rects.push(rect); svg.append(rect);
        if (x1 - x0 > 54 && y1 - y0 > 15) { const most = Math.floor((x1 - x0 - 10) / 6.4); svg.append(s('text', { class: 'in', x: x0 + 6, y: (y0 + y1) / 2 + 4, text: r.name.length > most ? `${r.name.slice(0, Math.max(1, most - 1))}…` : r.name })); }
      });
      let d = '', last = 0;
      for (const [step, b] of m.live) { d += d ? `H${x(Math.min(step, steps))}V${y(b)}` : `M${x(step)} ${y(0)}V${y(b)}`; last = b; }
      if (d && last > 0) d += `H${x(steps)}`;
      svg.append(s('path', { class: 'live', d }),
        s('line', { class: 'bound', x1: L, x2: W - Rm, y1: y(m.lower_bound_bytes), y2: y(m.lower_bound_bytes) }),
        s('line', { class: 'plan', x1: L, x2: W - Rm, y1: y(m.planned_bytes), y2: y(m.planned_bytes) }),
        s('text', { class: 't-plan', x: L + 6, y: y(m.planned_bytes) - 5, text: `planned ${bytes(m.planned_bytes)}` }),
        s('text', { class: 't-bound', x: W - Rm - 4, y: y(m.lower_bound_bytes) - 5, 'text-anchor': 'end', text: `lower bound ${bytes(m.lower_bound_bytes)}` }));
      chart.append(svg);
    };
    const choose = (k, tell) => {
      if (rects[chosen]) rects[chosen].classList.remove('on');
      chosen = k;
      if (!rects[k]) return;
      rects[k].classList.add('on');
      if (tell) { const r = variant.memory.records[order[k]], b = rects[k].getBoundingClientRect(); showTip(b.left + b.width / 2, b.top + b.height / 2, r.name, describe(r)); }
    };
    chart.addEventListener('keydown', (e) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (!by || !rects.length) return;
      e.preventDefault();
      choose(Math.max(0, Math.min(rects.length - 1, chosen + by)), true);
    });
    chart.addEventListener('blur', hideTip);
    return { draw };
  })();

  // ---- tables: columns are {head, num, value, cell} ----
  const sortable = (table, columns, rows, row) => {
    let by = 0, up = true, words = [], all = false;
    const head = h('tr');
    columns.forEach((c, i) => head.append(h('th', { class: c.num ? 'num' : null, 'aria-sort': 'none' }, h('button', { type: 'button', text: c.head, onclick: () => { up = by === i ? !up : !c.num || i === 0; by = i; draw(); } }))));
    empty(table.tHead).append(head);
    const draw = () => {
      [...head.cells].forEach((th, i) => th.setAttribute('aria-sort', i === by ? (up ? 'ascending' : 'descending') : 'none'));
      const value = columns[by].value;
      const shown = rows.filter((r) => words.every((w) => r.text.includes(w)))
        .sort((a, b) => { const [p, q] = [value(a), value(b)]; const c = typeof p === 'number' ? p - q : String(p).localeCompare(String(q), 'en', { numeric: true }); return (up ? c : -c) || a.order - b.order; });
      const part = all ? shown : shown.slice(0, 800);
      empty(table.tBodies[0]).append(...part.map((r) => row(r, columns)));
      if (part.length < shown.length) table.tBodies[0].append(h('tr', null, h('td', { colspan: columns.length }, h('button', { type: 'button', text: `Show ${shown.length - part.length} more`, onclick: () => { all = true; draw(); } }))));
      return shown.length;
    };
    return { draw, filter: (text) => { words = text.toLowerCase().split(/\s+/).filter(Boolean); return draw(); } };
  };
  const cells = (r, columns) => columns.map((c) => h('td', { class: [c.num ? 'num' : '', c.css || ''].join(' ').trim() || null }, c.cell(r)));

  const dispatches = (() => {
    const tensor = (t) => [t.shape, t.dtype, t.layout, t.storage].filter(Boolean).join(' · ');
    const xyz = (a) => a.join(' × ');
    let table = null;
    const draw = () => {
      const list = (variant ? variant.dispatches : []).map((d, order) => ({ d, order, out: d.outputs[0], bytes: [...d.inputs, ...d.outputs].reduce((n, t) => n + t.bytes, 0),
        text: [d.index, d.label, d.op, d.kernel, ...[...d.inputs, ...d.outputs].map((t) => `${t.name} ${tensor(t)}`)].join(' ').toLowerCase() }));
      const topFlops = Math.max(1, ...list.map((r) => r.d.flops)), topBytes = Math.max(1, ...list.map((r) => r.bytes + r.d.weight_bytes));
      const share = (text, part) => [text, h('i', { style: { width: `calc(${(100 * part).toFixed(2)}% - ${(24 * part).toFixed(1)}px)` } })];
      const columns = [
        { head: '#', num: true, value: (r) => r.d.index, cell: (r) => String(r.d.index) },
        { head: 'Computes', css: 'name', value: (r) => r.d.label, cell: (r) => [h('span', { class: 'dot', style: { '--c': color(r.d.kind) } }), r.d.label] },
        { head: 'Kernel', css: 'mono name', value: (r) => r.d.kernel, cell: (r) => r.d.kernel },
        { head: 'Result', css: 'mono', value: (r) => r.out ? r.out.shape : '', cell: (r) => r.out ? tensor(r.out) : '' },
        { head: 'Workgroups', num: true, css: 'mono', value: (r) => r.d.workgroups.reduce((a, b) => a * b, 1), cell: (r) => [xyz(r.d.workgroups), h('div', { class: 'muted', text: `of ${xyz(r.d.workgroup_size)}` })] },
        { head: 'FLOP', num: true, css: 'share', value: (r) => r.d.flops, cell: (r) => share(count(r.d.flops), r.d.flops / topFlops) },
        { head: 'Bytes', num: true, css: 'share', value: (r) => r.bytes + r.d.weight_bytes, cell: (r) => share(bytes(r.bytes + r.d.weight_bytes), (r.bytes + r.d.weight_bytes) / topBytes) },
        { head: 'of them weights', num: true, value: (r) => r.d.weight_bytes, cell: (r) => r.d.weight_bytes ? bytes(r.d.weight_bytes) : '' },
        { head: 'FLOP/byte', num: true, value: (r) => r.d.flops / Math.max(1, r.bytes + r.d.weight_bytes), cell: (r) => (r.d.flops / Math.max(1, r.bytes + r.d.weight_bytes)).toFixed(1) }];
      const operands = (d) => h('table', null, h('thead', null, h('tr', null, ['', 'Tensor', 'Shape', 'Type', 'Layout', 'Storage', 'Bytes'].map((t) => h('th', { text: t })))),
        h('tbody', null, [...d.inputs.map((t) => ['in', t]), ...d.outputs.map((t) => ['out', t])].map(([k, t]) => h('tr', null, [k, t.name, t.shape, t.dtype, t.layout, t.storage, bytes(t.bytes)].map((v) => h('td', { text: v }))))));
      const row = (r, cols) => {
        const tr = h('tr', { class: 'row', tabindex: '0', 'aria-expanded': 'false' }, cells(r, cols));
        const toggle = () => {
          const next = tr.nextElementSibling;
          const open = next && next.classList.contains('sub');
          if (open) next.remove();
          else { const shader = variant.shaders[r.d.shader]; tr.after(h('tr', { class: 'sub' }, h('td', { colspan: cols.length }, operands(r.d), shader ? h('p', { class: 'hint', text: `Shader ${shader.name}, ${shader.dialect}, ${bytes(shader.bytes)}` }) : null))); }
          tr.classList.toggle('open', !open); tr.setAttribute('aria-expanded', String(!open));
        };
        tr.addEventListener('click', toggle);
        tr.addEventListener('keydown', (e) => {
          if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); toggle(); return; }
          let to = e.key === 'ArrowDown' ? tr.nextElementSibling : e.key === 'ArrowUp' ? tr.previousElementSibling : null;
          if (to && to.classList.contains('sub')) to = e.key === 'ArrowDown' ? to.nextElementSibling : to.previousElementSibling;
          if (to) { e.preventDefault(); to.focus(); }
        });
        return tr;
      };
      table = sortable($('dispatchtable'), columns, list, row);
      refresh();
    };
    const refresh = () => {
      const n = table.filter($('dispatchfilter').value), all = variant ? variant.dispatches.length : 0;
      $('dispatchcount').textContent = `${n === all ? '' : `${n} of `}${plural(all, 'dispatch')}.${variant ? lost(variant.dispatches_left_out, 'dispatch') : ''}`;
    };
    $('dispatchfilter').addEventListener('input', refresh);
    return { draw };
  })();

  // ---- weights ----
  const weights = (() => {
    const sorted = R.weights.filter((w) => w.bytes > 0).sort((a, b) => b.bytes - a.bytes);
    const total = Math.max(1, R.weight_bytes);
    $('weightslead').textContent = R.weights.length ? `${plural(R.weights.length, 'tensor')}, ${bytes(R.weight_bytes)} in the bundle, in their final layout.${lost(R.weights_left_out, 'tensor')}` : 'The model has no weights.';
    $('treemap').style.display = sorted.length ? '' : 'none';
    // Squarified treemap (Bruls, Huizing, van Wijk): rows along the shorter side, as square as can be.
    const squarify = (items, box) => {
      const out = [];
      let { x, y, w, h: hh } = box, i = 0, left = items.reduce((n, it) => n + it.v, 0);
      while (i < items.length && w > 0 && hh > 0) {
        const side = Math.min(w, hh), scale = w * hh / left;
        let sum = 0, worst = Infinity, j = i;
        for (; j < items.length; j++) {
          const next = sum + items[j].v * scale;
          const ratio = Math.max(side * side * items[i].v * scale / (next * next), next * next / (side * side * items[j].v * scale));
          if (ratio > worst) break;
          worst = ratio; sum = next;
        }
        const thick = Math.min(sum / side, w >= hh ? w : hh);
        let at = 0;
        for (let k = i; k < j; k++) {
          const long = items[k].v * scale / thick;
          out.push(w >= hh ? { it: items[k], x, y: y + at, w: thick, h: long } : { it: items[k], x: x + at, y, w: long, h: thick });
          at += long;
          left -= items[k].v;
        }
        if (w >= hh) { x += thick; w -= thick; } else { y += thick; hh -= thick; }
        i = j;
      }
      return out;
    };
    // One color per part of the model: the shortest prefix of the names that tells parts apart.
    const hues = ['matrix', 'element', 'norm', 'reduce', 'move', 'recurrent'];
    const part = (w, depth) => w.name.split(/[./:]+/).filter(Boolean).slice(0, depth).join('.');
    let depth = 1;
    while (depth < 4 && new Set(sorted.map((w) => part(w, depth))).size < 3) depth++;
    const parts = [...new Set(sorted.map((w) => part(w, depth)))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const hueOf = new Map(parts.map((p, i) => [p, hues[i % hues.length]]));
    const drawMap = () => {
      const box = $('treemap'), top = sorted.slice(0, 400), rest = sorted.slice(400).reduce((n, w) => n + w.bytes, 0);
      const items = top.map((w) => ({ v: w.bytes, w, c: hueOf.get(part(w, depth)) }));
      if (rest > 0) items.push({ v: rest, w: { name: `${sorted.length - 400} smaller ones`, shape: '', dtype: '', stored_as: '', bytes: rest }, c: 'port' });
      empty(box).append(...squarify(items, { x: 0, y: 0, w: box.clientWidth || 900, h: box.clientHeight || 260 }).map((t) => h('div', {
        style: { left: `${t.x}px`, top: `${t.y}px`, width: `${t.w}px`, height: `${t.h}px`, '--c': color(t.it.c) }, text: t.w > 62 && t.h > 20 ? `${t.it.w.name} ${bytes(t.it.v)}` : '',
        onmousemove: (e) => showTip(e.clientX, e.clientY, t.it.w.name, [t.it.w.shape, [t.it.w.dtype, t.it.w.stored_as].filter(Boolean).join(' → '), `${bytes(t.it.v)}, ${percent(t.it.v / total)}`].filter(Boolean)), onmouseleave: hideTip })));
    };
    const top = Math.max(1, ...R.weights.map((w) => w.bytes));
    const columns = [
      { head: 'Weight', css: 'name', value: (r) => r.w.name, cell: (r) => r.w.name },
      { head: 'Shape', css: 'mono', value: (r) => r.w.shape, cell: (r) => r.w.shape },
      { head: 'In the model', css: 'mono', value: (r) => r.w.dtype, cell: (r) => r.w.dtype },
      { head: 'Stored as', css: 'mono', value: (r) => r.w.stored_as, cell: (r) => r.w.stored_as },
      { head: 'Bytes', num: true, css: 'share', value: (r) => r.w.bytes, cell: (r) => [bytes(r.w.bytes), h('i', { style: { width: `calc(${(100 * r.w.bytes / top).toFixed(2)}% - ${(24 * r.w.bytes / top).toFixed(1)}px)` } })] },
      { head: 'Share', num: true, value: (r) => r.w.bytes, cell: (r) => percent(r.w.bytes / total) }];
    const table = sortable($('weighttable'), columns, R.weights.map((w, order) => ({ w, order, text: '' })), (r, cols) => h('tr', null, cells(r, cols)));
    table.draw();
    $('weighttable').tHead.rows[0].cells[4].firstChild.click();
    return { drawMap };
  })();

  // ---- shaders ----
  const drawShaders = () => {
    const list = variant ? variant.shaders : [];
    const uses = list.map(() => 0);
    if (variant) for (const d of variant.dispatches) if (d.shader !== null && uses[d.shader] !== undefined) uses[d.shader]++;
    $('shaderslead').textContent = list.length ? `${plural(list.length, 'shader')}, ${bytes(list.reduce((n, x) => n + x.bytes, 0))}; identical ones are stored once.` : 'No shaders.';
    empty($('shaderlist')).append(...list.map((x, i) => {
      const body = h('details', { class: 'shader' }, h('summary', null, h('b', { class: 'mono', text: x.name }), h('span', { class: 'muted', text: `${x.dialect} · ${bytes(x.bytes)} · used ${uses[i]} ×` }), h('span', { class: 'muted mono', text: x.hash })));
      body.addEventListener('toggle', () => { if (body.open && body.childElementCount === 1) body.append(h('pre', { text: x.text ? x.text + (x.is_cut ? '\n… cut here' : '') : 'The text is not in this report.' })); });
      return body;
    }));
  };

  const drawVariant = () => { drawSummary(); drawSubtitle(); memory.draw(); dispatches.draw(); drawShaders(); };
  if (R.variants.length > 1) segments($('variants'), R.variants.map((v, i) => [i, v.target]), (i) => R.variants[i] === variant, (i) => { variant = R.variants[i]; drawVariant(); });
  drawVariant();
  weights.drawMap();
  let waiting = 0, width = innerWidth;
  addEventListener('resize', () => { if (innerWidth === width) return; width = innerWidth; clearTimeout(waiting); waiting = setTimeout(() => { memory.draw(); weights.drawMap(); graph.fit(); }, 120); });
})();
