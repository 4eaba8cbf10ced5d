'use strict';
// What makes a page go on by itself. Without it a page is right when it is loaded, and is loaded again by hand.
(() => {
  // What a reader has unfolded stays so when its surroundings are drawn anew.
  const replace = (old, make) => {
    const unfolded = [...old.querySelectorAll('details[open][id]')].map((d) => d.id);
    const focused = old.contains(document.activeElement) ? document.activeElement.closest('details')?.id : null;
    const fresh = make(old);
    for (const id of unfolded) document.getElementById(id)?.setAttribute('open', '');
    if (focused) document.getElementById(focused)?.querySelector('summary')?.focus();
    return fresh;
  };

  const watch = (address) => {
    const log = document.getElementById('log');
    const source = new EventSource(address);
    const show = (e) => {
      const m = JSON.parse(e.data);
      for (const [id, html] of Object.entries(m.parts ?? {})) {
        const old = document.getElementById(id);
        if (old) replace(old, (o) => { o.outerHTML = html; });
      }
      if (m.line && log) {
        const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
        log.append((log.textContent ? '\n' : '') + m.line);
        if (atEnd) log.scrollTop = log.scrollHeight;
      }
    };
    source.addEventListener('kept', show);
    source.addEventListener('progress', show);
    source.addEventListener('end', () => { source.close(); location.reload(); });
    if (log) log.scrollTop = log.scrollHeight;
  };

  const refresh = (main, seconds) => setInterval(async () => {
    if (document.hidden || main.querySelector('select:focus, input:focus') || getSelection().type === 'Range') return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('content');
      if (!fresh || fresh.innerHTML === main.innerHTML) return;
      const here = document.activeElement?.getAttribute?.('href');
      replace(main, (old) => { old.replaceChildren(...fresh.childNodes); });
      if (here) main.querySelector('a[href="' + CSS.escape(here) + '"]')?.focus({ preventScroll: true });
    } catch { /* the bot is away for a moment: the next time */ }
  }, seconds * 1000);

  const live = document.querySelector('[data-events]');
  if (live) watch(live.dataset.events);
  const main = document.querySelector('main[data-refresh]');
  if (main) refresh(main, Number(main.dataset.refresh));
})();
