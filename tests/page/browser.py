"""A headless Chromium, driven over the WebDriver protocol with nothing but the standard library."""
import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

KEYS = {'left': '\ue012', 'right': '\ue014', 'home': '\ue011', 'end': '\ue010', 'escape': '\ue00c', 'shift': '\ue008'}


def missing():
    """What has to be installed first, if anything."""
    return [name for name in ('chromium', 'chromedriver') if not shutil.which(name)]


class Browser:
    def __init__(self, width=1280, height=1000, timeout=90):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.home = tempfile.mkdtemp(prefix='mnemo-page-')
        environment = dict(os.environ, HOME=self.home)
        self.driver = subprocess.Popen(['chromedriver', f'--port={port}'], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=environment)
        self.at = f'http://127.0.0.1:{port}'
        arguments = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
                     f'--window-size={width},{height}', f'--user-data-dir={self.home}/profile',
                     '--no-first-run', '--disable-background-networking', '--disable-component-update']
        options = {'binary': shutil.which('chromium'), 'args': arguments}
        wanted = {'browserName': 'chrome', 'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}
        end = time.monotonic() + timeout
        while True:
            try:
                answer = self.call('POST', '/session', {'capabilities': {'alwaysMatch': wanted}})
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        self.at += '/session/' + answer['sessionId']

    def call(self, method, path, body=None):
        data = json.dumps(body if body is not None else {}).encode() if method == 'POST' else None
        request = urllib.request.Request(self.at + path, data, {'Content-Type': 'application/json'}, method=method)
        # A proxy that the environment names is not for this machine itself.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.load(answer)['value']
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)['value']['message']) from None

    def open(self, url):
        self.call('POST', '/url', {'url': 'about:blank'})  # a new hash alone would not load the page anew
        self.call('POST', '/url', {'url': url})
        self.wait("document.body.classList.contains('ready')")
        self.settle()

    def script(self, text, *arguments):
        return self.call('POST', '/execute/sync', {'script': text, 'args': list(arguments)})

    def value(self, expression):
        return self.script(f'return {expression};')

    def wait(self, condition, timeout=90):
        end = time.monotonic() + timeout
        while not self.value(condition):
            if time.monotonic() > end:
                raise RuntimeError(f'never true: {condition}')
            time.sleep(0.02)

    def settle(self):
        """Until everything that was asked for is drawn."""
        self.call('POST', '/execute/async', {'script': 'const done = arguments[0];'
                                             'requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 170)));',
                                             'args': []})

    def key(self, name, held=None):
        keys = [{'type': 'keyDown', 'value': KEYS.get(name, name)}, {'type': 'keyUp', 'value': KEYS.get(name, name)}]
        if held:
            keys = [{'type': 'keyDown', 'value': KEYS[held]}, *keys, {'type': 'keyUp', 'value': KEYS[held]}]
        self.call('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': keys}]})
        self.settle()

    def type(self, text):
        for letter in text:
            self.call('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': [
                {'type': 'keyDown', 'value': letter}, {'type': 'keyUp', 'value': letter}]}]})
        self.settle()

    def mouse(self, *steps):
        """Steps are (x, y), 'down' or 'up'; places in pixels of the window."""
        actions = []
        for step in steps:
            if step == 'down' or step == 'up':
                actions.append({'type': 'pointerDown' if step == 'down' else 'pointerUp', 'button': 0})
            else:
                actions.append({'type': 'pointerMove', 'x': round(step[0]), 'y': round(step[1]), 'duration': 30})
        self.call('POST', '/actions', {'actions': [{'type': 'pointer', 'id': 'mouse', 'actions': actions}]})
        self.settle()

    def click(self, selector):
        self.script('document.querySelector(arguments[0]).click();', selector)
        self.settle()

    def devtools(self, command, **parameters):
        return self.call('POST', '/goog/cdp/execute', {'cmd': command, 'params': parameters})

    def dark(self, on):
        self.devtools('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark' if on else 'light'}])
        self.settle()

    def errors(self):
        """What the console has said since the last call."""
        return [entry['message'] for entry in self.call('POST', '/se/log', {'type': 'browser'})
                if entry['level'] in ('SEVERE', 'WARNING')]

    def screenshot(self, path):
        with open(path, 'wb') as file:
            file.write(base64.b64decode(self.call('GET', '/screenshot')))

    def close(self):
        try:
            self.call('DELETE', '')
        finally:
            self.driver.terminate()
            self.driver.wait()
            shutil.rmtree(self.home, ignore_errors=True)
