"""The report in headless Chromium: its sums are the ledger's, and mouse and keys do what the page says they do."""
import base64
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time

import browser as chromium

STALL = 100  # milliseconds that the page may stand still at most
SPEED = float(os.environ.get('MNEMO_PAGE_SLOWNESS', '1'))  # factor for slow machines

failures = 0


def check(what, found, expected=True):
    global failures
    if found != expected:
        failures += 1
        print(f'FAILED {what}: {found!r}, not {expected!r}', flush=True)


class Page:
    def __init__(self, browser, folder):
        self.browser = browser
        self.folder = folder

    def open(self, name, look=''):
        self.browser.open(f'file://{self.folder}/{name}.html' + (f'#{look}' if look else ''))
        check(f'{name}: what the console says', self.browser.errors(), [])

    def value(self, expression):
        return self.browser.value(expression)

    def cursor(self):
        return self.value('mnemo.runs[mnemo.chosen()].event(mnemo.row(mnemo.chosen()))')

    def place(self, event, fraction=0.5):
        """The window's pixel of an event on the curve."""
        return self.browser.script('''
            const box = document.getElementById('curve').getBoundingClientRect();
            const area = mnemo.area(), [from, to] = mnemo.range();
            return [box.left + area.x + (arguments[0] - from) / (to - from) * area.w, box.top + area.y + arguments[1] * area.h];
            ''', event, fraction)

    def text(self, selector):
        return self.browser.script('return document.querySelector(arguments[0]).innerText;', selector)


def sums_are_the_ledgers(page):
    expected = json.load(open(f'{page.folder}/sums.json'))
    for name, moments in expected.items():
        page.open(name, 'view=map')
        check(f'{name}: notices', page.text('#notices'), '')
        found = page.browser.script('''
            return arguments[0].map(({event}) => {
              const run = mnemo.runs[0], row = event + run.initial;
              mnemo.look.t = event;
              const balance = mnemo.balance.of(0);
              mnemo.views.map.draw();
              const {held, waiting} = run.aliveAt(row);
              return {event, allocated: balance.allocated, reserved: balance.reserved, categories: balance.parts,
                      requested: run.asked[row], again: held.reduce((sum, block) => sum + run.requested[block], 0), blocks: held.length + waiting.length, segments: mnemo.views.map.segments.length,
                      kept: run.categoriesAt(row), rest: balance.unexplained, cached: balance.cached - mnemo.views.map.free.free - balance.waits};
            });''', moments)
        check(f'{name}: number of moments', len(found) >= 40)
        for mine, ledgers in zip(found, moments):
            check(f'{name}: unexplained', (mine.pop('rest'), mine.pop('cached')), (0, 0))
            check(f'{name}: requested', mine.pop('again'), ledgers['requested'])
            check(f'{name}: sums that were kept', mine.pop('kept'), ledgers['categories'])
            if name == 'ranges':  # pieces of a range may be counted apart until something spans them
                mine['segments'] = ledgers['segments']
            check(f'{name}: sums', mine, ledgers)


def hover_and_pin(page):
    page.open('one')
    peak = page.value('mnemo.runs[0].header.peak.event')
    check('the cursor begins at the peak', page.cursor(), peak)
    x, y = page.place(700)
    page.browser.mouse((x, y))
    near = page.cursor()
    check('hover moves the cursor', abs(near - 700) <= 4)
    check('the balance follows', page.text('#balance').count(f'event {near:,}'), 1)
    check('nothing is unexplained', page.text('#balance tr:last-child td:last-child'), '0 B')
    check('hover pins nothing', page.value('mnemo.look.t'), None)
    page.browser.mouse((x, y), 'down', 'up')
    check('click pins', abs(page.value('mnemo.look.t') - 700) <= 4)
    page.browser.mouse(page.place(1500))
    check('a pinned cursor stays', page.cursor(), near)
    check('the address has it', page.value('location.hash'), f'#t={near}')
    page.browser.key('escape')
    check('Escape unpins', page.value('mnemo.look.t'), None)


def stepping(page):
    page.open('one', 't=500&view=map')
    check('the address leads to the moment', page.cursor(), 500)
    check('and to the view', page.value("document.getElementById('view-map').classList.contains('selected')"))
    check('the event is told', page.text('#event').startswith('event 500: '))
    for key, held, event in (('right', None, 501), ('left', None, 500), ('left', None, 499), ('right', 'shift', 599),
                             ('left', 'shift', 499), ('home', None, -1), ('left', None, -1)):
        page.browser.key(key, held)
        check(f'{held or ""} {key}', page.cursor(), event)
        check('the map follows', page.value('mnemo.views.map.row - mnemo.runs[0].initial'), event)
    page.browser.key('end')
    check('End', page.cursor(), page.value('mnemo.runs[0].header.events') - 1)
    page.browser.key('p')
    check('p', page.cursor(), page.value('mnemo.runs[0].header.peak.event'))
    page.browser.key('4')
    check('4 shows the layers', page.value('mnemo.look.view'), 'layers')
    check('layers have rows', page.value("document.querySelectorAll('#layers tbody tr').length") > 1)


def zooming(page, plain=False):
    page.open('plain' if plain else 'one')
    whole = page.value('mnemo.range()')
    if not plain:
        from_, to = page.place(1000), page.place(1600)
        page.browser.mouse(from_, 'down', ((from_[0] + to[0]) / 2, from_[1]), to, 'up')
        found = page.value('mnemo.range()')
        check('dragging zooms', abs(found[0] - 1000) < 12 and abs(found[1] - 1600) < 12)
        check('dragging pins nothing', page.value('mnemo.look.t'), None)
        check('the library shows the same', page.value('mnemo.curve.graph.xAxisRange().map(Math.round)'), [round(x) for x in found])
        page.browser.mouse(page.place(1300), 'down', 'up', 'down', 'up')
        check('a double click shows all', page.value('mnemo.range()'), whole)
        page.browser.key('escape')
    page.browser.click('#zoom-peak')
    found = page.value('mnemo.range()')
    check('zoom to the peak', found[0] < page.cursor() < found[1] and found[1] - found[0] < (whole[1] - whole[0]) / 4)
    page.browser.key('end')
    found = page.value('mnemo.range()')
    check('stepping moves what is visible', found[0] < page.cursor() <= found[1])
    page.browser.click('#zoom-all')
    check('the whole run', page.value('mnemo.range()'), whole)
    drawn = page.browser.script('''
        const canvas = document.querySelector('#plot canvas'), pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return pixels.some((value) => value !== 0);''')
    check('there is a curve', drawn)


def searching(page):
    page.open('one', 't=900')
    total = page.value('mnemo.balance.of(0).sum')
    check('all blocks together', page.value('mnemo.views.alive.total'), total)
    page.browser.key('/')
    page.browser.type('encoder.0')
    check('/ begins a search', page.value('mnemo.look.find'), 'encoder.0')
    found = page.browser.script("return [...document.querySelectorAll('#alive tbody tr')].map((row) => row.cells[2].textContent + ' ' + row.cells[3].textContent);")
    check('it finds only what fits', len(found) > 0 and all('encoder.0' in text for text in found))
    page.browser.key('escape')
    check('Escape ends it', page.value('mnemo.look.find'), '')
    sizes = "[...document.querySelectorAll('#alive tbody tr td:first-child')].map((cell) => Number(cell.title.replace(/[^0-9]/g, '')))"
    found = page.value(sizes)
    check('largest first', found, sorted(found, reverse=True))
    page.browser.click('#alive th:first-child button')
    check('smallest first', page.value(sizes), sorted(found))
    page.browser.script("const group = document.getElementById('group'); group.value = 'category'; group.dispatchEvent(new Event('change'));")
    page.browser.settle()
    parts = page.value('mnemo.balance.of(0).parts')
    check('groups add up', sorted(page.value(sizes), reverse=True), sorted((part for part in parts if part), reverse=True))


def categories(page):
    page.open('one')
    bottom = '''(() => { const stack = mnemo.stacks[0];
        return stack.rows.every((row, i) => row < 0 || stack.sums[i].reduce((a, b) => a + b, 0) === mnemo.runs[0].allocated[row]); })()'''
    check('bands add up to allocated in every pixel', page.value(bottom))
    check('and the highest pixel is the peak', page.value('Math.max(...mnemo.stacks[0].rows.map((row) => mnemo.runs[0].allocated[row]))'),
          page.value('mnemo.runs[0].header.peak.bytes'))
    page.browser.click('#bands button[value=workspace]')
    check('a band alone', page.value('mnemo.look.solo'), 'workspace')
    page.browser.key('escape')
    check('Escape shows all again', page.value('mnemo.look.solo'), '')


def made(page, expression):
    """The bytes of what a button would save."""
    text = page.browser.call('POST', '/execute/async', {'script': f'''
        const done = arguments[0];
        {expression}.then((pieces) => new Blob(pieces).arrayBuffer()).then((buffer) => {{
          let text = "";
          for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
          done(btoa(text));
        }}, (error) => done("failed: " + error));''', 'args': []})
    check(f'{expression} comes to an end', text[:6] != 'failed')
    return base64.b64decode(text)


def alike(a, b):
    """Equal, but for numbers beyond 2^53, of which JavaScript knows no more than 53 bits: absurd requests."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, int) and isinstance(b, int) and abs(b) > 2 ** 53:
        return abs(a - b) < abs(b) / 2 ** 50
    return type(a) is type(b) and a == b


def downloads(page):
    for name in json.load(open(f'{page.folder}/sums.json')):
        page.open(name)
        check('buttons', page.value("document.querySelectorAll('#downloads button').length"), 4)
        data = json.loads(made(page, 'reportJson(mnemo)'))
        check('the JSON has every event', len(data['runs'][0]['kind']), page.value('mnemo.runs[0].rows'))
        check('and block', len(data['runs'][0]['blocks']['size']), data['runs'][0]['blocks']['count'])
        lines = made(page, 'curveCsv(mnemo.runs[0])').decode().strip().split('\n')
        check('the CSV has every event', len(lines) - 1, page.value('mnemo.runs[0].header.events'))
        table = [[int(number) for number in line.split(',')] for line in lines[1:]]
        check('its categories add up', all(line[1] == sum(line[4:]) for line in table))
        check('it ends as the ledger', table[-1][1:3], page.value('[mnemo.runs[0].header.end.allocated, mnemo.runs[0].header.end.reserved]'))
        # The library's own exporters are checked by the rules of the programs that read their files.
        snapshot = pickle.loads(made(page, 'new Snapshot(mnemo.runs[0]).pieces()'))
        check(f'{name}: the snapshot is the one that the library writes', alike(snapshot, pickle.load(open(f'{page.folder}/{name}.pickle', 'rb'))))
        trace = json.loads(made(page, 'new Trace(mnemo.runs[0]).pieces()'))
        check(f'{name}: so is the trace', alike(trace, json.load(open(f'{page.folder}/{name}.trace.json'))))


def time_axis(page):
    page.open('one')
    check('without times there is no choice', page.value("document.getElementById('axis-box').hidden"))
    page.open('timed', 't=300')
    check('with times there is', page.value("document.getElementById('axis-box').hidden"), False)
    page.browser.script("const axis = document.getElementById('axis'); axis.value = 'time'; axis.dispatchEvent(new Event('change'));")
    page.browser.settle()
    check('the same moment in time', page.cursor(), 300)
    check('the axis counts microseconds', page.value('mnemo.x() >= mnemo.runs[0].time[300] && mnemo.x() < mnemo.runs[0].time[300] + 1'))
    for key, event in (('right', 301), ('right', 302), ('left', 301), ('left', 300), ('left', 299)):
        page.browser.key(key)
        check(f'{key} goes event by event', page.cursor(), event)
    look = page.value('location.hash')
    check('the address has it', 'axis=time' in look)
    page.open('timed', look[1:])
    check('and leads back', page.cursor(), 299)
    check('every row has its place', page.value('[...Array(mnemo.runs[0].rows - mnemo.runs[0].first).keys()].every((i) => mnemo.axis.rowAt(0, mnemo.axis.xOf(0, i + mnemo.runs[0].first)) === i + mnemo.runs[0].first)'))


def areas(page):
    page.open('one', 't=900&form=tiles')
    for group in ('none', 'category', 'module', 'op', 'shape'):
        page.browser.script(f"mnemo.look.set({{group: '{group}'}});")
        page.browser.settle()
        check(f'areas by {group} are all that is allocated', page.value('mnemo.views.alive.tiles.total'), page.value('mnemo.balance.of(0).sum'))
        wrong = page.browser.script('''
            const {placed} = mnemo.views.alive.tiles, all = placed.reduce((sum, {item}) => sum + item.size, 0), whole = mnemo.width() * TILES_HEIGHT;
            return placed.filter(({item, x, y, w, h}) => Math.abs(w * h / whole - item.size / all) > 1e-6 || x < -1e-6 || y < -1e-6 || x + w > mnemo.width() + 1e-6 || y + h > TILES_HEIGHT + 1e-6).length;''')
        check(f'areas by {group} are in proportion', wrong, 0)
    check('the table is not there', page.value("document.querySelector('#view-alive .scroll').hidden"))


def blocks_of_two(page):
    page.open('two', 'view=alive')
    sums = page.value('[0, 1].map((index) => mnemo.balance.of(index).sum)')
    check('sums of both', page.value('mnemo.views.alive.sums'), sums)
    for group in ('none', 'category', 'module', 'op', 'shape'):
        page.browser.script(f"mnemo.look.set({{group: '{group}'}});")
        page.browser.settle()
        rows = page.browser.script('''
            return [...document.querySelectorAll('#alive tbody tr')].map((row) => [0, 1, 2].map((i) =>
                Number(row.cells[i].title.replace(/[^-0-9]/g, ''))));''')
        check(f'{group}: A, B and B - A add up', [sum(row[i] for row in rows) for i in range(3)], [*sums, sums[1] - sums[0]])
        check(f'{group}: in every row', all(row[2] == row[1] - row[0] for row in rows))
    check('shapes are told', page.value("document.querySelector('#alive tbody').innerText.includes('1024) uint8')"))
    check('the optimizer has its phases', page.value("mnemo.runs[0].phases.filter(({phase}) => mnemo.runs[0].names.phases[phase] === 'optimizer').map(({step}) => step)"), [1, 2, 3])


def sweeps(page):
    page.open('sweep', 'view=sweep')
    texts = page.value("[...document.querySelectorAll('#sweeps figure')].map((figure) => figure.innerText)")
    check('a chart for each', len(texts), 2)
    for line in ('over 24 GiB between 8 and 12', 'over 40 GiB between 12 and 16', '32 does not fit: it needs at least 70.00 GiB'):
        check(line, line in texts[0])
    check('what needs more than a larger one', '96: FFT' in texts[1])
    marks = page.browser.script("return ['crossed', 'noted', 'over'].map((kind) => [...document.querySelectorAll('#sweeps figure')].map((figure) => figure.querySelectorAll('.' + kind).length));")
    check('marks', marks, [[2, 1], [0, 1], [1, 0]])
    check('limits', page.value("[...document.querySelectorAll('#sweeps figure')].map((figure) => [figure.querySelectorAll('.card').length, figure.querySelectorAll('.capacity').length])"), [[2, 1], [2, 1]])


def two_runs(page):
    page.open('two', 'view=difference')
    check('both peaks are told', page.text('#answer').count('The peak is'), 2)
    check('memory ran out in B', page.value('[mnemo.runs[0].ooms.length, mnemo.runs[1].ooms.length]'), [0, 1])
    check('phases are laid over each other', page.value('mnemo.axis.anchors.length') > 3)
    for sum_ in page.value('mnemo.views.difference.sums'):
        check(f'{sum_["title"]} adds up', sum_['from'] + sum(part['bytes'] for part in sum_['parts']), sum_['to'])
    check('nothing left over', page.text('#sum-check').endswith('unexplained 0 B'))
    given = {'title': 'peak', 'from': 10, 'to': 9, 'parts': [{'label': 'a', 'bytes': 1, 'where': 'x', 'evidence': ''},
             {'label': 'a', 'bytes': 2, 'where': 'y', 'evidence': ''}, {'label': 'b', 'bytes': -4, 'where': 'x', 'evidence': ''}]}
    sums = page.browser.script('return byCause(arguments[0]);', given)
    check('a given sum is shown by cause first', [[(part['label'], part['bytes']) for part in sum_['parts']] for sum_ in sums],
          [[('b', -4), ('a', 3)], [('a', 1), ('a', 2), ('b', -4)]])
    back = page.value('[5, 20, 40].map((row) => mnemo.axis.rowAt(1, mnemo.axis.xOf(1, row)))')
    check('every event of B has its place', back, [5, 20, 40])
    page.browser.dark(True)
    check('dark', page.value("getComputedStyle(document.body).backgroundColor"), 'rgb(20, 23, 28)')
    page.browser.dark(False)
    pdf = page.browser.devtools('Page.printToPDF')['data']
    check('it prints', len(pdf) > 20000)


def hostile_names(page):
    for view in ('alive', 'alive&group=module', 'alive&form=tiles', 'map', 'difference', 'layers', 'sweep'):
        page.open('hostile', f'view={view}')
        check(f'{view}: no name became an element', page.value("document.querySelectorAll('img, b:not([class])').length"), 0)
        check(f'{view}: nor ran', page.value('window.hit === undefined'))
        if view == 'layers':
            check('a size that was given is one that people read', page.text('#layers tbody td:last-child'), '3.00 MiB')
    check('the title is text', page.text('#title'), "</script><img src=x onerror='window.hit=1'><b>bold</b>")


def a_million_events(page):
    for _ in range(3):  # other programs run here too
        began = time.monotonic()
        page.open('million')
        loading = time.monotonic() - began
        page.browser.script('''
            window.stalls = [];
            new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.stalls.push(entry.duration)))
                .observe({type: 'longtask', buffered: true});''')
        page.browser.settle()
        worst_loading = max(page.value('window.stalls'), default=0)
        if worst_loading <= SPEED * STALL:
            break
    check('events', page.value('mnemo.runs[0].rows') > 1_000_000)
    check('notices', page.text('#notices'), '')
    times = page.browser.script('''
        const look = mnemo.look, rows = mnemo.runs[0].rows, times = {};
        const measure = (name, values) => {
          times[name] = 0;
          for (const value of values) {
            let best = Infinity;  // of five: other programs run here too
            for (let i = 0; i < 5; ++i) {
              look.set(value);
              look.touch(...Object.keys(value));
              const began = performance.now();
              look.flush();
              best = Math.min(best, performance.now() - began);
            }
            times[name] = Math.max(times[name], best);
          }
        };
        const spans = [1, 2, 5, 20, 100, 1000, 10000].map((part) => ({from: rows / 3, to: rows / 3 + rows / part / 2}));
        const cursors = [...Array(12).keys()].map((i) => ({t: Math.floor(rows * (i + 0.5) / 12)}));
        measure('zoom', spans);
        measure('whole', [{from: null, to: null}]);
        for (const view of ['alive', 'map', 'layers', 'difference']) {
          measure('show ' + view, [{view}]);
          measure('move in ' + view, cursors);
        }
        measure('areas', [{view: 'alive', form: 'tiles'}]);
        measure('move in areas', cursors);
        measure('by shape', [{form: 'table', group: 'shape'}]);
        return times;''')
    print(f'a million events: loaded in {loading:.2f} s, longest stall {worst_loading:.0f} ms; then at most',
          ', '.join(f'{name} {ms:.0f} ms' for name, ms in times.items()), flush=True)
    check('loads without a stall', worst_loading <= SPEED * STALL)
    check('and draws without one', [name for name, ms in times.items() if ms > SPEED * STALL], [])
    check('and loads soon', loading < SPEED * 10)
    for name in ('Snapshot', 'Trace'):
        page.browser.script('window.stalls.length = 0;')
        page.browser.call('POST', '/execute/async', {'script': f'const done = arguments[0]; new {name}(mnemo.runs[0]).pieces().then(() => done());', 'args': []})
        page.browser.settle()
        worst = max(page.value('window.stalls'), default=0)
        print(f'{name}: longest stall {worst:.0f} ms', flush=True)
        check(f'{name} is made without a stall', worst <= SPEED * STALL)


def without_the_library(page):
    html = open(f'{page.folder}/one.html', encoding='utf-8').read()
    begin = html.index('<script nonce="mnemo">') + len('<script nonce="mnemo">')
    end = html.index('</script>', begin)
    if end == begin:
        print('note: built without dygraphs, so that there is nothing to compare')
    with open(f'{page.folder}/plain.html', 'w', encoding='utf-8') as plain:
        plain.write(html[:begin] + html[end:])
    zooming(page, plain=True)
    check('the page says so', 'dygraphs' in page.text('#notices'))


def main():
    missing = chromium.missing()
    if missing:
        print(f'SKIPPED: the page is not tested, because {" and ".join(missing)} cannot be found (packages chromium, chromium-driver)')
        return 77
    with tempfile.TemporaryDirectory(prefix='mnemo-pages-') as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        browser = chromium.Browser()
        try:
            page = Page(browser, folder)
            has_library = 'dygraphs' not in (page.open('one') or page.text('#notices'))
            for test in (sums_are_the_ledgers, hover_and_pin, stepping, zooming, searching, categories, areas, time_axis, downloads, two_runs,
                         blocks_of_two, sweeps, hostile_names, a_million_events, without_the_library):
                if test is zooming and not has_library:
                    continue
                began = time.monotonic()
                test(page)
                print(f'{test.__name__}: {time.monotonic() - began:.1f} s', flush=True)
        finally:
            browser.close()
    return 1 if failures else 0


sys.exit(main())
