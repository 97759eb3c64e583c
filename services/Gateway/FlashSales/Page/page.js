// The operators' page of flash sales: signs in, asks for the figures of one sale each second and draws them. The token stays in this
// closure: nothing is stored, and a reload signs out.
(() => {
  'use strict';

  const KEPT = 300;                                 // points, one a second
  const $ = id => document.getElementById(id);
  const number = new Intl.NumberFormat('en-GB');
  const SVG = 'http://www.w3.org/2000/svg';

  const PHASES = { preparing: 'Preparing', scheduled: 'Scheduled', open: 'Open', allocated: 'All claimed', sold_out: 'Sold out', ended: 'Ended', cancelled: 'Cancelled', refused: 'Refused' };
  const TILES = [
    ['joinsPerSecond', 'Joins a second'], ['joined', 'Joined'], ['waiting', 'In the queue'], ['admitted', 'Admitted'], ['inside', 'Inside'],
    ['claimed', 'Claimed'], ['paid', 'Paid'], ['released', 'Released'], ['waitingList', 'Waiting list'], ['remaining', 'Remaining'],
  ];
  const CHARTS = {
    joins: [['joinsPerSecond', 'joins a second', 'blue']],
    people: [['waiting', 'in the queue', 'blue'], ['admitted', 'admitted', 'purple'], ['inside', 'inside', 'orange']],
    units: [['claimed', 'claimed', 'orange'], ['paid', 'paid', 'green'], ['released', 'released', 'purple'], ['remaining', 'remaining', 'blue']],
  };

  let session = null;
  let renewing = null;
  let sales = [];
  let chosen = null;
  let history = [];
  let clock = null;                                 // the service's time, and when it was told, by a clock that nobody sets
  let round = 0;                                    // a loop of an earlier sale or session ends when it sees another number
  let pointer = null;                               // where on the charts somebody looks

  // Talking to the shop ------------------------------------------------------------------------------------------------------

  class Refused extends Error {
    constructor(status, problem) {
      super(problem?.detail || problem?.title || `The answer was ${status}.`);
      this.status = status;
    }
  }

  const send = async (method, path, body, token) => {
    const headers = { Accept: 'application/json' };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(10_000) });
    const text = await answer.text();
    let said = null;
    try { said = text ? JSON.parse(text) : null; } catch { throw new Refused(answer.status, { title: 'The answer is not JSON.' }); }
    if (!answer.ok) throw new Refused(answer.status, said);
    return said;
  };

  const take = said => { session = { access: said.accessToken, refresh: said.refreshToken }; };

  const renew = () => renewing ??= send('POST', '/api/v1/sessions/refresh', { refreshToken: session.refresh }).then(take).finally(() => { renewing = null; });

  const ask = async path => {
    try {
      return await send('GET', path, undefined, session.access);
    } catch (e) {
      if (e.status !== 401 || !session?.refresh) throw e;
      await renew();
      return await send('GET', path, undefined, session.access);
    }
  };

  // Signing in and out -------------------------------------------------------------------------------------------------------

  const signal = (text, bad) => {
    $('signal').textContent = text;
    $('signal').classList.toggle('is-bad', !!bad);
  };

  const show = signedIn => {
    $('sign-in').hidden = signedIn;
    $('desk').hidden = !signedIn;
    $('sign-out').hidden = !signedIn;
    if (!signedIn) $('email').focus();
  };

  const signOut = why => {
    session = null;
    round++;
    chosen = null;
    sales = [];
    $('live').hidden = true;
    signal(why ?? '');
    show(false);
  };

  $('sign-in').addEventListener('submit', async event => {
    event.preventDefault();
    const [button, error] = [$('sign-in').querySelector('button'), $('sign-in-error')];
    button.disabled = true;
    error.hidden = true;
    try {
      const said = await send('POST', '/api/v1/sessions', { email: $('email').value, password: $('password').value });
      if (!said.roles?.includes('operator')) throw new Error('This account is not an operator’s.');
      take(said);
      $('password').value = '';
      show(true);
      listLoop(++round);
    } catch (e) {
      error.textContent = e.status === 401 ? 'E-mail or password is wrong.' : e.message;
      error.hidden = false;
    } finally {
      button.disabled = false;
    }
  });

  $('sign-out').addEventListener('click', () => {
    const last = session?.access;
    signOut();
    if (last) send('DELETE', '/api/v1/sessions', undefined, last).catch(e => signal(`Signed out here; the shop did not hear it: ${e.message}`, true));
  });

  // The list of sales --------------------------------------------------------------------------------------------------------

  const pause = ms => new Promise(done => setTimeout(done, ms));

  const listLoop = async own => {
    while (own === round) {
      try {
        const page = await ask('/api/v1/operations/flash-sales?limit=50');
        if (own !== round) return;
        sales = page.items ?? [];
        fillList(own);
      } catch (e) {
        if (own !== round) return;
        if (e.status === 401 || e.status === 403) return signOut('The session is over.');
        signal(`The list of sales does not come: ${e.message}`, true);
      }
      await pause(sales.length === 0 ? 3_000 : 10_000);
    }
  };

  const fillList = own => {
    const list = $('sale');
    const wanted = chosen ?? location.hash.slice(1);
    list.replaceChildren(...sales.map(sale => {
      const option = document.createElement('option');
      option.value = sale.saleId;
      option.textContent = `${sale.title ?? sale.saleId} · ${sale.units} units · ${PHASES[sale.phase ?? sale.status] ?? sale.phase ?? sale.status} · ${new Date(sale.startsAt).toLocaleString()}`;
      return option;
    }));
    $('no-sales').hidden = sales.length > 0;
    list.disabled = sales.length === 0;
    const running = sales.find(sale => sale.saleId === wanted) ?? sales.find(sale => sale.phase === 'open' || sale.phase === 'allocated') ?? sales[0];
    if (!running) return;
    list.value = running.saleId;
    if (running.saleId !== chosen) choose(running.saleId, own);
  };

  $('sale').addEventListener('change', () => choose($('sale').value, round));
  addEventListener('hashchange', () => {
    const wanted = location.hash.slice(1);
    if (session && wanted !== chosen && sales.some(sale => sale.saleId === wanted)) {
      $('sale').value = wanted;
      choose(wanted, round);
    }
  });

  // One sale, live -----------------------------------------------------------------------------------------------------------

  const choose = (saleId, own) => {
    chosen = saleId;
    history = [];
    clock = null;
    location.replace(`#${saleId}`);
    $('audit-result').replaceChildren();
    $('live').hidden = false;
    liveLoop(saleId, own);
  };

  const liveLoop = async (saleId, own) => {
    while (own === round && saleId === chosen) {
      const began = performance.now();
      try {
        const progress = await ask(`/api/v1/operations/flash-sales/${saleId}/progress`);
        if (own !== round || saleId !== chosen) return;
        record(progress);
        signal(`Live · ${new Date(progress.serverTime).toLocaleTimeString()} by the shop’s clock`);
      } catch (e) {
        if (own !== round || saleId !== chosen) return;
        if (e.status === 401 || e.status === 403) return signOut('The session is over.');
        signal(`No figures at the moment: ${e.message} Trying again.`, true);
      }
      await pause(Math.max(200, 1_000 - (performance.now() - began)));
    }
  };

  const record = progress => {
    clock = { server: Date.parse(progress.serverTime), at: performance.now() };
    history.push({ ...progress, at: clock.server });
    while (history.length > KEPT) history.shift();
    draw();
  };

  const sale = () => ({ ...sales.find(each => each.saleId === chosen), ...history.at(-1) });

  const draw = () => {
    const last = history.at(-1);
    if (!last) return;
    $('phase').textContent = PHASES[last.phase] ?? last.phase;
    $('tiles').replaceChildren(...TILES.map(([key, name]) => {
      const tile = document.createElement('div');
      tile.className = 'tile';
      const [label, value] = [document.createElement('span'), document.createElement('b')];
      label.className = 'label';
      label.textContent = name;
      value.textContent = amount(last[key]);
      tile.append(label, value);
      return tile;
    }));

    const units = sale().units ?? 0;
    const share = part => units > 0 ? Math.min(100, 100 * (part ?? 0) / units) : 0;
    const [paid, claimed] = [share(last.paid), share(last.claimed)];
    $('bar-paid').setAttribute('width', paid);
    $('bar-claimed').setAttribute('x', paid);
    $('bar-claimed').setAttribute('width', Math.max(0, claimed - paid));
    $('bar-text').textContent = `${amount(units)} in all: ${amount(last.paid)} paid, ${amount(Math.max(0, (last.claimed ?? 0) - (last.paid ?? 0)))} claimed and not paid yet, ${amount(last.remaining)} remaining`;
    for (const name of Object.keys(CHARTS)) chart(name);
  };

  const amount = value => value === undefined || value === null ? '–' : typeof value === 'number' ? number.format(Math.round(value * 10) / 10) : String(value);

  const span = seconds => {
    const [days, hours, minutes, rest] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
    const two = part => String(part).padStart(2, '0');
    return days > 0 ? `${days} d ${two(hours)}:${two(minutes)}:${two(rest)}` : hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
  };

  const tick = () => {
    const { startsAt, endsAt, phase } = sale();
    if (clock && startsAt) {
      const now = clock.server + (performance.now() - clock.at);
      const [toStart, toEnd] = [Date.parse(startsAt) - now, Date.parse(endsAt) - now];
      const over = phase === 'ended' || phase === 'sold_out' || toEnd <= 0;
      const endedAt = sale().endedAt ?? (toEnd <= 0 ? endsAt : null);
      $('countdown-label').textContent = over ? (endedAt ? 'Over since' : 'Time') : toStart > 0 ? 'Starts in' : 'Ends in';
      $('countdown').textContent = over ? (endedAt ? new Date(endedAt).toLocaleTimeString() : 'Over') : span(Math.ceil((toStart > 0 ? toStart : toEnd) / 1_000));
    } else {
      $('countdown').textContent = '–';
    }
    setTimeout(tick, 250);
  };

  // Charts -------------------------------------------------------------------------------------------------------------------

  const piece = (name, attributes, text) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };

  const ceiling = value => {                         // the next of 1, 2, 5 times a power of ten
    const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
    return [1, 2, 5, 10].map(step => step * power).find(step => step >= value) ?? value;
  };

  const chart = name => {
    const [svg, lines] = [$(`chart-${name}`), CHARTS[name]];
    const [width, height] = [svg.clientWidth || 320, svg.clientHeight || 150];
    const [left, right, top, bottom] = [44, 8, 8, 20];
    const last = history.at(-1).at;
    const first = Math.min(history[0].at, last - 60_000);
    const most = ceiling(Math.max(1, ...history.flatMap(point => lines.map(([key]) => point[key] ?? 0))));
    const x = at => left + (width - left - right) * (at - first) / (last - first);
    const y = value => top + (height - top - bottom) * (1 - value / most);

    const parts = [0, .5, 1].flatMap(part => [
      piece('line', { x1: left, x2: width - right, y1: y(most * part), y2: y(most * part) }),
      piece('text', { x: left - 6, y: y(most * part) + 4, 'text-anchor': 'end' }, most >= 2 || part !== .5 ? amount(most * part) : ''),
    ]);
    parts.push(piece('text', { x: left, y: height - 5 }, `${span(Math.round((last - first) / 1_000))} ago`), piece('text', { x: width - right, y: height - 5, 'text-anchor': 'end' }, 'now'));
    for (const [key, , colour] of lines) {
      const known = history.filter(point => point[key] !== undefined && point[key] !== null);
      if (known.length > 0)
        parts.push(piece('path', { class: `k-${colour}`, d: known.map((point, i) => `${i === 0 ? 'M' : 'L'}${x(point.at).toFixed(1)} ${y(point[key]).toFixed(1)}`).join('') }));
    }

    let looked = history.at(-1);
    if (pointer !== null) {
      const at = first + (last - first) * Math.min(1, Math.max(0, (pointer * width - left) / (width - left - right)));
      looked = history.reduce((best, point) => Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best);
      parts.push(piece('line', { class: 'cross', x1: x(looked.at), x2: x(looked.at), y1: top, y2: height - bottom }));
    }
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.replaceChildren(...parts);

    $(`legend-${name}`).replaceChildren(...lines.map(([key, text, colour]) => {
      const entry = document.createElement('span');
      entry.className = `k-${colour}`;
      const value = document.createElement('i');
      value.textContent = `${text} ${amount(looked[key])}`;
      entry.append(value);
      return entry;
    }));
  };

  for (const name of Object.keys(CHARTS)) {
    const svg = $(`chart-${name}`);
    const look = event => {
      const box = svg.getBoundingClientRect();
      pointer = (event.clientX - box.left) / box.width;
      if (history.length > 0) draw();
    };
    svg.addEventListener('pointermove', look);
    svg.addEventListener('pointerdown', look);
    svg.addEventListener('pointerleave', () => {
      pointer = null;
      if (history.length > 0) draw();
    });
  }
  addEventListener('resize', () => { if (history.length > 0) draw(); });

  // The audit ----------------------------------------------------------------------------------------------------------------

  const words = key => key.replace(/([A-Z])/g, ' $1').toLowerCase().replace(/^./, letter => letter.toUpperCase());

  const rows = (thing, before = '') => Object.entries(thing).flatMap(([key, value]) =>
    key === 'findings' ? []
    : Array.isArray(value) ? [[before + words(key), value.length === 0 ? 'none' : value.map(each => typeof each === 'object' ? JSON.stringify(each) : String(each)).join(', ')]]
    : value !== null && typeof value === 'object' ? rows(value, `${before}${words(key)}: `)
    : [[before + words(key), amount(value)]]);

  $('audit').addEventListener('click', async () => {
    const [button, result, saleId] = [$('audit'), $('audit-result'), chosen];
    button.disabled = true;
    try {
      const audit = await ask(`/api/v1/operations/flash-sales/${saleId}/audit`);
      if (saleId !== chosen) return;
      const verdict = document.createElement('p');
      const findings = audit.findings ?? [];
      verdict.className = `verdict ${findings.length === 0 ? 'good' : 'bad'}`;
      verdict.textContent = findings.length === 0 ? (audit.settled === false ? '✓ Everything adds up so far; not everything is settled yet.' : '✓ Everything adds up.') : `✗ ${findings.length} ${findings.length === 1 ? 'thing does' : 'things do'} not add up:`;
      const list = document.createElement('ul');
      list.append(...findings.map(finding => {
        const item = document.createElement('li');
        item.textContent = typeof finding === 'object' ? JSON.stringify(finding) : String(finding);
        return item;
      }));
      const table = document.createElement('table');
      table.append(...rows(audit).map(([key, value]) => {
        const [row, head, cell] = [document.createElement('tr'), document.createElement('th'), document.createElement('td')];
        head.scope = 'row';
        head.textContent = key;
        cell.textContent = value;
        row.append(head, cell);
        return row;
      }));
      result.replaceChildren(verdict, ...(findings.length > 0 ? [list] : []), table);
    } catch (e) {
      if (saleId !== chosen) return;
      const failed = document.createElement('p');
      failed.className = 'error';
      failed.textContent = `No audit: ${e.message}`;
      result.replaceChildren(failed);
      if (e.status === 401) signOut('The session is over.');
    } finally {
      button.disabled = false;
    }
  });

  show(false);
  tick();
})();
