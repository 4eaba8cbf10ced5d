'use strict';
// The filter of the list. Its whole state is the address's hash, so that a filtered list can be linked:
// #task=gsm8k&show=lost&q=42. Every choice is a link; following one changes the hash, and the hash the list.
(() => {
  const filters = document.getElementById('filters');
  const query = document.getElementById('q');
  const groups = [...document.querySelectorAll('table.items tbody')];
  const rows = groups.flatMap((g) => [...g.rows].map((row) => ({ row, task: g.dataset.task, classes: row.classList, text: null })));
  const links = { task: [...filters.querySelectorAll('[data-task]')], show: [...filters.querySelectorAll('[data-show]')] };

  // What the text box looks at: item, gold, read as.
  const textOf = (r) => {
    const c = r.row.cells;
    r.text ??= [c[1], c[c.length - 3], c[c.length - 2]].map((x) => x.textContent).join('\n').toLowerCase();
    return r.text;
  };

  const read = () => {
    const p = new URLSearchParams(location.hash.slice(1));
    const known = (key) => { const v = p.get(key) ?? ''; return links[key].some((a) => a.dataset[key] === v) ? v : ''; };
    return { task: known('task'), show: known('show'), q: p.get('q') ?? '' };
  };

  const hash = (state) => {
    const p = new URLSearchParams();
    for (const [k, v] of Object.entries(state)) if (v) p.set(k, v);
    return '#' + (p.toString() || 'all');
  };

  const apply = () => {
    const state = read();
    const needle = state.q.trim().toLowerCase();
    if (document.activeElement !== query) query.value = state.q;
    const counts = { task: { '': 0 }, show: { '': 0 } };
    const add = (of, key) => { of[key] = (of[key] ?? 0) + 1; };
    let shown = 0;
    for (const r of rows) {
      const inTask = !state.task || r.task === state.task;
      const inShow = !state.show || r.classes.contains(state.show);
      const found = !needle || textOf(r).includes(needle);
      if (found && inShow) { add(counts.task, ''); add(counts.task, r.task); }
      if (found && inTask) { add(counts.show, ''); for (const c of r.classes) add(counts.show, c); }
      const visible = found && inTask && inShow;
      if (visible) shown++;
      if (r.row.hidden === visible) r.row.hidden = !visible;
    }
    for (const key of ['task', 'show']) {
      for (const a of links[key]) {
        const value = a.dataset[key];
        a.href = hash({ ...state, [key]: value });
        a.querySelector('span').textContent = counts[key][value] ?? 0;
        if (value === state[key]) a.setAttribute('aria-current', 'true'); else a.removeAttribute('aria-current');
      }
    }
    document.getElementById('shown').textContent = shown + ' of ' + rows.length + ' items';
    document.getElementById('none').hidden = shown > 0;
  };

  let waiting;
  query.addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => location.replace(hash({ ...read(), q: query.value })), 120);
  });
  addEventListener('hashchange', apply);
  filters.hidden = false;
  apply();
})();
